/* The application on the emulated Cortex-M4. The serial line is the machine's first UART; the camera reads a file.
 *
 * camera.bin holds frames of 50,688 bytes, which are repeated; without the file the camera does not respond. Changes of
 * the light are printed. The command `reset` ends the program, which then prints the stack used. */
#include <string.h>

#include "application.h"
#include "board.h"
#include "camera.h"
#include "config.h"
#include "emulator.h"
#include "indicator.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
enum {
  UART_DATA = 0x40004000,
  UART_STATE = 0x40004004,
  UART_CONTROL = 0x40004008,
  UART_DIVIDER = 0x40004010,
};
enum { TRANSMITTER_FULL = 1, RECEIVER_FULL = 2, BOTH_WAYS = 3, DIVIDER = 217, CYCLES_A_US = 64 };

static char out[1024];
static uint32_t out_count, out_sent;
static uint32_t fed_ms;
static int frames = -1;
static bool sends_color_bars;
static int32_t rows_read; /* of the current frame in the file */

static uint64_t now_us(void) { return emulator_count() / CYCLES_A_US; }

const char *board_name(void) { return "emulated"; }
uint32_t board_ms(void) { return (uint32_t)(now_us() / 1000); }
uint32_t board_us(void) { return (uint32_t)now_us(); }
void board_feed_watchdog(void) { fed_ms = board_ms(); }

void board_restart(void) {
  emulator_print("restart, stack ");
  emulator_print_number(emulator_stack_used());
  emulator_print("\n");
  emulator_exit(3);
}

board_facts board_read_facts(void) {
  return (board_facts){-1, -1, (int32_t)emulator_stack_size(), (int32_t)emulator_stack_used()};
}

int32_t board_read_byte(void) {
  return REGISTER(UART_STATE) & RECEIVER_FULL ? (int32_t)(REGISTER(UART_DATA) & 0xFF) : -1;
}

static void send_some(void) {
  while (out_sent < out_count && !(REGISTER(UART_STATE) & TRANSMITTER_FULL)) {
    REGISTER(UART_DATA) = (uint8_t)out[out_sent++];
  }
}

bool board_write(const char *text, uint32_t count) {
  send_some();
  if (out_sent < out_count) {
    return false;
  }
  memcpy(out, text, count);
  out_count = count;
  out_sent = 0;
  return true;
}

void indicator_set(bool red, bool green, bool blue) {
  emulator_print_number(board_ms());
  emulator_print(" light");
  emulator_print(red ? " red" : "");
  emulator_print(green ? " green" : "");
  emulator_print(blue ? " blue" : "");
  emulator_print(red || green || blue ? "\n" : " off\n");
}

const char *camera_error_text(void) { return "the camera does not answer"; }

camera_status camera_open(void) {
  if (frames < 0) {
    frames = emulator_open("camera.bin");
  }
  return frames < 0 ? CAMERA_FAILED : CAMERA_OK;
}

static camera_status read_row(uint8_t *row) {
  if (emulator_read(frames, row, CAMERA_ROW_BYTES) != CAMERA_ROW_BYTES) {
    emulator_rewind(frames);
    if (emulator_read(frames, row, CAMERA_ROW_BYTES) != CAMERA_ROW_BYTES) {
      return CAMERA_FAILED;
    }
  }
  rows_read = (rows_read + 1) % CAMERA_HEIGHT;
  return CAMERA_OK;
}

camera_status camera_start_frame(bool color_bars) {
  static uint8_t skipped[CAMERA_ROW_BYTES];
  sends_color_bars = color_bars;
  camera_status status = frames < 0 ? CAMERA_FAILED : CAMERA_OK;
  while (status == CAMERA_OK && rows_read != 0) { /* the rest of an abandoned frame */
    status = read_row(skipped);
  }
  return status;
}

uint32_t camera_lines_lost(void) { return 0; }
bool camera_lock(bool wanted) {
  (void)wanted;
  return false;
}
int32_t camera_register_count(void) { return 0; }
bool camera_read_register(int32_t place, camera_register *value) {
  (void)place;
  (void)value;
  return false;
}
camera_status camera_measure(camera_rates *rates) {
  (void)rates;
  return CAMERA_FAILED;
}
camera_rates camera_documented_rates(void) { return (camera_rates){0, 0, 0, 0}; }

/* The sensor draws the bars over its whole width; a frame has the center of it. */
static void draw_bars(uint8_t *row) {
  static const uint16_t bars[CAMERA_BARS] = {0xFFFF, 0xFFE0, 0x07FF, 0x07E0, 0xF81F, 0xF800, 0x001F, 0x0000};
  for (int32_t x = 0; x < CAMERA_WIDTH; x++) {
    const int32_t place = (CAMERA_SENSOR_WIDTH - CAMERA_SENSOR_SHOWN) / 2 + x * CAMERA_SENSOR_SHOWN / CAMERA_WIDTH;
    const uint16_t color = bars[place * CAMERA_BARS / CAMERA_SENSOR_WIDTH];
    row[2 * x] = (uint8_t)(color >> 8);
    row[2 * x + 1] = (uint8_t)color;
  }
}

camera_status camera_read_row(int32_t y, uint8_t *row) {
  (void)y;
  if (sends_color_bars) {
    draw_bars(row);
    return CAMERA_OK;
  }
  return read_row(row);
}

int main(void) {
  emulator_start_counting();
  REGISTER(UART_DIVIDER) = DIVIDER;
  REGISTER(UART_CONTROL) = BOTH_WAYS;
  application_begin();
  while (board_ms() - fed_ms < WATCHDOG_MS) {
    application_step();
    send_some();
  }
  emulator_print("watchdog, stack ");
  emulator_print_number(emulator_stack_used());
  emulator_print("\n");
  return 3;
}
