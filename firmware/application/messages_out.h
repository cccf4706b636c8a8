/* Sends the messages of firmware/PROTOCOL.md, one JSON object per line.
 *
 * The answer to a command is kept until the serial line takes it. Any other message is dropped if the serial line does
 * not take it at once, or if an answer is still pending. */
#ifndef MESSAGES_OUT_H
#define MESSAGES_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "camera.h"
#include "json.h"
#include "lights.h"
#include "quality.h"
#include "self_test.h"

typedef struct {
  bool streaming; /* the scores of each image are sent; set by the command `scores` */
  bool pending;   /* `line` holds an answer that the serial line has not taken */
  uint32_t pending_since_ms;
  json line;
} messages_out;

/* The content of `scores`. Fields whose pointer is NULL are left out. */
typedef struct {
  uint32_t frame;
  bool injected;
  const int32_t *scores;   /* one per label, 0 to SCORE_ONE */
  const int32_t *smoothed; /* one per label, 0 to SMOOTHED_ONE */
  const char *verdict;
  light led;
  const quality_values *quality;
  uint32_t inference_us;
} scores_message;

typedef struct {
  uint32_t frames;
  uint32_t capture_us;
  uint32_t inference_us;
  uint32_t loop_us;
  uint32_t row_us;     /* the longest time for one row of the network */
  uint32_t lines_lost; /* by the camera's driver, because the network was late */
} timing_message;

void messages_out_init(messages_out *self);

/* Sends a pending answer. Returns false if the PC has not read it for ANSWER_MS; the answer is then dropped. */
bool messages_out_flush(messages_out *self);

void messages_out_send_hello(messages_out *self);
void messages_out_send_version(messages_out *self);
void messages_out_send_self_test(messages_out *self, const self_test *test);

/* Sends the scores of an injected image as an answer, those of any other image only while streaming. */
void messages_out_send_scores(messages_out *self, const scores_message *message);

void messages_out_send_frame(messages_out *self);
void messages_out_send_frame_row(messages_out *self, int32_t y, const uint8_t *row);
void messages_out_send_frame_end(messages_out *self, uint32_t crc);
void messages_out_send_golden(messages_out *self, int32_t vector, bool right);
void messages_out_send_golden_end(messages_out *self, int32_t passed, int32_t failed);
void messages_out_send_timing(messages_out *self, const timing_message *message);

/* Sends the settings of the camera from `first` on, as many as fit, and returns the first that is left. */
int32_t messages_out_send_registers(messages_out *self, int32_t first);
void messages_out_send_rates(messages_out *self, const camera_rates *rates);
void messages_out_send_bring_up(messages_out *self);
void messages_out_send_help(messages_out *self);
void messages_out_send_done(messages_out *self, const char *command);
void messages_out_send_ready(messages_out *self);
void messages_out_send_taken(messages_out *self, int32_t y);

/* Replaces a pending answer. */
void messages_out_send_error(messages_out *self, const char *code, const char *message);

#endif
