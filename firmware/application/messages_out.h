/* The messages of the board, one JSON object a line: firmware/PROTOCOL.md, message by message.
 *
 * An answer to a command waits until the serial line has room for it. What is sent without being asked for is dropped
 * where the line has no room, or an answer waits. */
#ifndef MESSAGES_OUT_H
#define MESSAGES_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "lights.h"
#include "quality.h"
#include "self_test.h"

typedef struct {
  bool streaming; /* the command `scores on`: each image's scores are sent without being asked for */
  bool pending;   /* `line` holds an answer that the serial line has not taken yet */
  uint32_t pending_since_ms;
  json line;
} messages_out;

/* What is sent about one image; pointers are NULL where there is nothing to send. */
typedef struct {
  uint32_t frame;
  bool injected;
  const int32_t *scores;   /* one a label, 0 to SCORE_ONE */
  const int32_t *smoothed; /* one a label, 0 to SMOOTHED_ONE */
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
} timing_message;

void messages_out_init(messages_out *self);

/* Sends an answer that waits; false where the PC has not read it for ANSWER_MS, and it is dropped. */
bool messages_out_flush(messages_out *self);

void messages_out_send_hello(messages_out *self);
void messages_out_send_version(messages_out *self);
void messages_out_send_self_test(messages_out *self, const self_test *test);

/* An answer for an injected image; else not asked for, and sent only while streaming. */
void messages_out_send_scores(messages_out *self, const scores_message *message);

void messages_out_send_frame(messages_out *self);
void messages_out_send_frame_row(messages_out *self, int32_t y, const uint8_t *row);
void messages_out_send_frame_end(messages_out *self, uint32_t crc);
void messages_out_send_golden(messages_out *self, int32_t vector, bool right);
void messages_out_send_golden_end(messages_out *self, int32_t passed, int32_t failed);
void messages_out_send_timing(messages_out *self, const timing_message *message);
void messages_out_send_help(messages_out *self);
void messages_out_send_done(messages_out *self, const char *command);
void messages_out_send_ready(messages_out *self);
void messages_out_send_taken(messages_out *self, int32_t y);

/* Takes the place of an answer that waits. */
void messages_out_send_error(messages_out *self, const char *code, const char *message);

#endif
