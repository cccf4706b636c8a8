/* The application under a fuzzer. The input is what the PC sends, cut by the camera's and the serial line's faults:
 * bytes of 0x80 and more are events instead of text. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "application.h"
#include "base64_crc.h"
#include "board.h"
#include "camera.h"
#include "indicator.h"

enum { STEP_MS = 7, STEPS_AFTER = 400, LONG_MS = 3000, LINE_LIMIT = 1024 };

static struct {
  const uint8_t *bytes;
  size_t left;
  uint32_t ms;
  bool camera_fails, camera_waits, gray, deaf, restarted;
} world;

/* Applies events and returns the next byte of text, or -1. */
static int32_t next_byte(void) {
  while (world.left > 0) {
    const uint8_t byte = *world.bytes++;
    world.left--;
    if (byte < 0x80) {
      return byte;
    }
    world.camera_fails ^= (byte & 7) == 1;
    world.camera_waits ^= (byte & 7) == 2;
    world.deaf ^= (byte & 7) == 3;
    world.gray ^= (byte & 7) == 4;
    world.ms += (byte & 7) == 5 ? LONG_MS : 0;
    if ((byte & 7) == 0) {
      return -1; /* the rest of the line comes later */
    }
  }
  return -1;
}

const char *board_name(void) { return "fuzz"; }
uint32_t board_ms(void) { return world.ms; }
uint32_t board_us(void) { return world.ms * 1000; }
int32_t board_read_byte(void) { return next_byte(); }
void board_feed_watchdog(void) {}
void board_restart(void) { world.restarted = true; }
board_facts board_read_facts(void) { return (board_facts){1, 0, 16384, 400}; }

bool board_write(const char *text, uint32_t count) {
  if (world.deaf) {
    return false;
  }
  /* Every message is one line of printable ASCII within the limit of the protocol. */
  if (count == 0 || count > LINE_LIMIT || text[count - 1] != '\n' || text[0] != '{') {
    abort();
  }
  for (uint32_t at = 0; at + 1 < count; at++) {
    if (text[at] < ' ' || text[at] > '~') {
      abort();
    }
  }
  return true;
}

void indicator_set(bool red, bool green, bool blue) {
  (void)red;
  (void)green;
  (void)blue;
}

const char *camera_error_text(void) { return "the camera does not answer"; }
static camera_status status(void) {
  return world.camera_fails ? CAMERA_FAILED : world.camera_waits ? CAMERA_WAIT : CAMERA_OK;
}
camera_status camera_open(void) { return status(); }
camera_status camera_start_frame(bool color_bars) {
  (void)color_bars;
  return status();
}
camera_status camera_read_row(int32_t y, uint8_t *row) {
  for (int32_t at = 0; at < CAMERA_ROW_BYTES; at++) {
    row[at] = world.gray ? 0x84 : (uint8_t)(at * 37 + y * 11);
  }
  return status();
}
uint32_t camera_lines_lost(void) { return 3; }
bool camera_lock(bool wanted) { return wanted; }
int32_t camera_register_count(void) { return 137; }
bool camera_read_register(int32_t place, camera_register *value) {
  *value = (camera_register){(uint8_t)place, 255, 255};
  return place % 7 != 0;
}
camera_status camera_measure(camera_rates *rates) {
  *rates = (camera_rates){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
  return status();
}
camera_rates camera_documented_rates(void) { return (camera_rates){1, 2, 3, 4}; }

/* Decodes the input as base64 into memory of exactly the size asked for: the sanitizer sees any byte beyond it. */
static void check_base64(const uint8_t *bytes, size_t size) {
  char *text = malloc(size + 1);
  const uint32_t count = (uint32_t)(size / 4 * 3);
  uint8_t *decoded = malloc(count + 1);
  if (text == NULL || decoded == NULL) {
    abort();
  }
  memcpy(text, bytes, size);
  text[size] = '\0';
  for (uint32_t less = 0; less < 3 && less < count; less++) {
    uint8_t *exact = malloc(count - less);
    char *again = malloc(size + 1);
    if (exact == NULL || again == NULL) {
      abort();
    }
    if (base64_crc_decode(text, exact, count - less) &&
        (base64_crc_encode(exact, count - less, again) != strlen(text) || memcmp(again, text, strlen(text)) != 0)) {
      abort(); /* a text has one encoding */
    }
    free(again);
    free(exact);
  }
  uint32_t number;
  (void)base64_crc_parse_crc(text, &number);
  free(decoded);
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  memset(&world, 0, sizeof world);
  check_base64(bytes, size);
  application_begin();
  for (uint32_t step = 0; step < STEPS_AFTER; step++) { /* the self-test, before the PC sends anything */
    world.ms += STEP_MS;
    application_step();
  }
  world.bytes = bytes;
  world.left = size;
  for (uint32_t after = 0; after < STEPS_AFTER && !world.restarted; after += world.left == 0) {
    world.ms += STEP_MS;
    application_step();
  }
  return 0;
}
