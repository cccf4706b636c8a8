/* The detector: the stage it is in, what it has found out, and the work of one stage, a step at a time.
 *
 * Every step takes as long as one row of the camera or one inference, and none waits. */
#ifndef DETECTOR_H
#define DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "decision.h"
#include "frame_reader.h"
#include "lights.h"
#include "messages_out.h"
#include "scoring.h"
#include "self_test.h"

typedef enum {
  /* The tests after the start, and of the command `selftest`. */
  STAGE_TEST_LAMPS,      /* red, green and blue are shown in turn */
  STAGE_TEST_CAMERA,     /* the camera is opened */
  STAGE_TEST_COLOR_BARS, /* the camera sends its color bars */
  STAGE_TEST_GOLDEN,     /* the network runs its golden vectors */
  /* Images of the camera. */
  STAGE_IMAGE_BEGIN,
  STAGE_IMAGE_ROWS,
  STAGE_IMAGE_FINISH, /* the network runs on the whole image */
  /* The camera has failed. */
  STAGE_CAMERA_FAILED, /* the next attempt is due after RETRY_MS */
  STAGE_REOPEN_CAMERA,
  STAGE_RETEST_COLOR_BARS,
  /* Commands that take longer than one step. */
  STAGE_INJECT,           /* rows of an image come over the serial line */
  STAGE_FINISH_INJECTION, /* the network runs on the injected image */
  STAGE_HOLD,             /* the light shows the verdict on the injected image */
  STAGE_SEND_FRAME,       /* a frame of the camera goes over the serial line */
  STAGE_SEND_GOLDEN,      /* the golden vectors run, and each result is sent */
  STAGE_RESTART,          /* the watchdog is no longer fed and restarts the board */
} detector_stage;

typedef struct {
  detector_stage stage;
  uint32_t since_ms; /* the stage began, or the last row was sent or injected */
  self_test test;
  struct {
    int32_t next;
    int32_t failed;
  } golden; /* vectors of the run */
  frame_reader frame;
  scoring scoring;
  decision decision;
  timing_message timing; /* of the last image */
  uint32_t crc;          /* of the rows sent or injected so far */
  lights lights;
  messages_out out;
} detector;

/* Begins with the tests. */
void detector_init(detector *self);

/* Does the next piece of the stage's work and updates the light. */
void detector_step(detector *self);

/* False while the detector does not know yet whether it may judge at all, while an answer is under way, and before a
 * restart. */
bool detector_accepts_commands(const detector *self);

/* Each begins the work of a command. */
void detector_begin_self_test(detector *self);
void detector_begin_golden(detector *self);
bool detector_begin_frame(detector *self); /* false without a camera */
void detector_begin_restart(detector *self);
void detector_begin_injection(detector *self);

/* The rows that the injected image has so far; -1 if no image is being injected. */
int32_t detector_injected_rows(const detector *self);

/* Takes the next row of the injected image: CAMERA_ROW_BYTES bytes. */
void detector_inject_row(detector *self, const uint8_t *row);

/* Has the next step judge the injected image and send its scores. */
void detector_finish_injection(detector *self);

/* Ends an injection, if there is one. */
void detector_cancel_injection(detector *self);

/* Ends a command whose answers the PC does not read, if there is one. */
void detector_cancel_command(detector *self);

#endif
