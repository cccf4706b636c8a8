/* The state machine of the detector: its stage, its results, and the work of each stage in steps that do not wait. */
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
  /* The self-test: after the start, and on the command `selftest`. Its stages come first, for is_testing(). */
  STAGE_TEST_LAMPS,      /* red, green and blue are shown in turn */
  STAGE_TEST_CAMERA,     /* the camera is opened */
  STAGE_TEST_COLOR_BARS, /* the camera sends its color bars */
  STAGE_TEST_GOLDEN,     /* the network runs its golden vectors */
  /* Images of the camera. */
  STAGE_IMAGE_BEGIN,
  STAGE_IMAGE_ROWS,
  STAGE_IMAGE_FINISH, /* the rest of the network runs */
  /* The camera has failed. */
  STAGE_CAMERA_FAILED, /* waits for RETRY_MS before the next attempt */
  STAGE_REOPEN_CAMERA,
  STAGE_RETEST_COLOR_BARS,
  /* Commands that take longer than one step. */
  STAGE_INJECT,           /* the PC sends the rows of an image */
  STAGE_FINISH_INJECTION, /* the network runs on the injected image */
  STAGE_HOLD,             /* the light shows the verdict on the injected image */
  STAGE_SEND_FRAME,       /* a frame of the camera is sent to the PC */
  STAGE_SEND_GOLDEN,      /* the network runs its golden vectors, and each result is sent */
  STAGE_BRING_UP,         /* registers, signals and facts of the board are sent to the PC */
  STAGE_RESTART,          /* waits until the PC has the answer, then resets the board */
} detector_stage;

typedef struct {
  detector_stage stage;
  uint32_t timer_ms; /* start of the stage's time limit: the start of the stage, or the last row */
  self_test test;
  struct {
    int32_t next;
    int32_t failed;
  } golden; /* golden vectors of the current run */
  struct {
    int32_t next_register;
    bool measured;
  } bring_up;
  frame_reader frame;
  scoring scoring;
  decision decision;
  timing_message timing; /* of the last image */
  uint32_t crc;          /* of the rows sent or injected so far */
  lights lights;
  messages_out out;
} detector;

/* Starts with the self-test. */
void detector_init(detector *self);

/* Does the next piece of the stage's work, at most one row or one inference, and updates the light. */
void detector_step(detector *self);

/* Returns false during the self-test, while an answer is being sent, and before a restart. */
bool detector_accepts_commands(const detector *self);

/* Start the work of a command. */
void detector_begin_self_test(detector *self);
void detector_begin_golden(detector *self);
bool detector_begin_frame(detector *self); /* returns false if the camera does not work */
void detector_begin_bring_up(detector *self);
void detector_begin_restart(detector *self);
void detector_begin_injection(detector *self);

/* Returns the number of rows injected so far, or -1 if no image is being injected. */
int32_t detector_injected_rows(const detector *self);

/* Takes the next row of the injected image: CAMERA_ROW_BYTES bytes. */
void detector_inject_row(detector *self, const uint8_t *row);

/* Ends the injected image: the next step scores it and sends the result. */
void detector_finish_injection(detector *self);

/* Cancels the injection of an image, if there is one. */
void detector_cancel_injection(detector *self);

/* Cancels a command that takes several steps, if there is one. */
void detector_cancel_command(detector *self);

#endif
