/* What the application knows; one of it exists. For the application's own files alone. */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "camera.h"
#include "classifier.h"
#include "config.h"
#include "decision.h"
#include "json.h"
#include "lights.h"
#include "line.h"
#include "quality.h"
#include "view.h"

typedef enum {
  LAMPS,   /* red, green, blue */
  OPEN,    /* the camera wakes, */
  PATTERN, /* and shows its test picture */
  VECTORS, /* the net runs its golden vectors */
  START,   /* a frame begins, */
  ROWS,    /* its rows come, */
  FINISH,  /* and the net says what it is */
  BROKEN,  /* the camera failed: it is woken again after a while */
  INJECT,  /* a picture comes over the serial line, */
  HOLD,    /* and keeps the light */
  DUMP,    /* a picture goes over the serial line */
} stage;

typedef struct {
  stage stage;
  uint32_t since_ms; /* the stage began */
  int32_t row;       /* the next one */
  bool frame_begun;

  bool testing; /* the tests of the start are not over */
  bool swapped; /* the camera gives the low byte first */
  bool net_refused;
  bool camera_refused;
  bool camera_well;
  const char *camera_said;
  const char *pattern_said;
  const char *golden_said;
  int32_t vector;
  int32_t wrong_vectors;

  bool telling; /* scores are said by themselves */
  bool answering_golden;
  bool restarting;

  uint32_t frames;
  uint32_t begun_us;
  uint32_t capture_us;
  uint32_t inference_us;
  uint32_t loop_us;
  uint32_t net_us; /* of the picture that is being taken */
  uint32_t crc;

  int32_t scores[CLASSIFIER_LABELS];
  quality_values values;
  decision decision;
  quality quality;
  view view;
  lights lights;

  bool owed; /* `out` holds an answer that was not yet taken */
  uint32_t owed_since_ms;
  json out;
  line in;
  uint8_t camera_row[CAMERA_ROW_BYTES];
  int8_t net_row[CLASSIFIER_ROW_BYTES] __attribute__((aligned(4)));
} application;

/* application.c */
void enter(application *self, stage next);
void begin_picture(application *self);
bool take_camera_row(application *self, const uint8_t *row); /* true after the last one */
void finish_picture(application *self, bool injected);
void fail_camera(application *self, const char *why);
void resume(application *self); /* to work, or to wake the camera */

/* commands.c */
void listen(application *self);

/* saying.c: an answer waits for the line, what is said by itself is dropped where the line is full. */
void answer(application *self);
void say_version(application *self, const char *type);
void say_self_test(application *self);
void say_picture(application *self, bool injected, bool scored, const char *verdict);
void say_frame(application *self);
void say_frame_row(application *self, int32_t y, const uint8_t *row);
void say_frame_end(application *self);
void say_golden(application *self, int32_t vector, bool right);
void say_golden_end(application *self);
void say_timing(application *self);
void say_help(application *self);
void say_done(application *self, const char *command);
void say_ready(application *self);
void say_taken(application *self, int32_t y);
void say_error(application *self, const char *code, const char *message);

#endif
