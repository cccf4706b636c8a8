/* The application on the PC. The camera reads a file; the serial line is a pseudo-terminal, or a script.
 *
 * --camera FRAMES: a file of frames of 50,688 bytes, which are repeated; or black, white, dead (the camera does not
 * respond) or frozen (frames start but their rows do not come).
 *
 * --script FILE --until MS: a simulated clock runs at one step per millisecond. The script has lines "MS TEXT", which
 * are received at that time. Messages are printed to standard output.
 *
 * Changes of the light are printed to standard error as "MS light COLORS". */
#define _DEFAULT_SOURCE
#define _XOPEN_SOURCE 700

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "application.h"
#include "board.h"
#include "camera.h"
#include "config.h"
#include "indicator.h"

enum {
  FRAME_BYTES = CAMERA_ROW_BYTES * CAMERA_HEIGHT,
  FRAME_PERIOD_MS = 200,
  OUT_BYTES = 4096,
  WATCHDOG_STATUS = 3,
  RESTART_STATUS = 4
};

static struct {
  const char *camera;
  const char *script;
  uint32_t until_ms;
  uint32_t die_at_ms;
  uint32_t heal_at_ms;
  bool low_first;
  bool no_reader;
  bool gray_bars;
} options;

static struct {
  FILE *script;
  uint32_t line_ms;
  char line[2048];
  size_t line_at;
  int terminal;
  char out[OUT_BYTES];
  size_t out_count;
} serial = {.terminal = -1};

static uint32_t virtual_ms, fed_ms;
static struct timespec started_at;

static uint64_t since_start_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)(now.tv_sec - started_at.tv_sec) * 1000000u + (uint64_t)(now.tv_nsec / 1000) -
         (uint64_t)(started_at.tv_nsec / 1000);
}

const char *board_name(void) { return "host"; }
uint32_t board_ms(void) { return options.script ? virtual_ms : (uint32_t)(since_start_us() / 1000); }
uint32_t board_us(void) { return options.script ? virtual_ms * 1000 : (uint32_t)since_start_us(); }
void board_feed_watchdog(void) { fed_ms = board_ms(); }

void board_restart(void) {
  fprintf(stderr, "%u restart\n", board_ms());
  exit(RESTART_STATUS);
}

board_facts board_read_facts(void) { return (board_facts){-1, -1, -1, -1}; }

/* Reads the next line of the script. Returns false at its end. */
static bool next_line(void) {
  int used = 0;
  if (fgets(serial.line, sizeof serial.line, serial.script) == NULL) {
    return false;
  }
  if (sscanf(serial.line, "%u %n", &serial.line_ms, &used) < 1) {
    fprintf(stderr, "%s: a line must be MS TEXT: %s", options.script, serial.line);
    exit(2);
  }
  serial.line_at = (size_t)used;
  return true;
}

static int32_t read_script(void) {
  if (serial.line[serial.line_at] == '\0' && !next_line()) {
    serial.line[serial.line_at = 0] = '\0';
    return -1;
  }
  return virtual_ms < serial.line_ms ? -1 : (unsigned char)serial.line[serial.line_at++];
}

int32_t board_read_byte(void) {
  if (options.script) {
    return serial.script ? read_script() : -1;
  }
  unsigned char byte;
  return read(serial.terminal, &byte, 1) == 1 ? byte : -1;
}

bool board_write(const char *text, uint32_t count) {
  if (options.no_reader || serial.out_count + count > OUT_BYTES) {
    return false;
  }
  memcpy(serial.out + serial.out_count, text, count);
  serial.out_count += count;
  return true;
}

static void flush_out(void) {
  const ssize_t written = write(options.script ? STDOUT_FILENO : serial.terminal, serial.out, serial.out_count);
  if (written > 0) {
    serial.out_count -= (size_t)written;
    memmove(serial.out, serial.out + written, serial.out_count);
  }
}

void indicator_set(bool red, bool green, bool blue) {
  fprintf(stderr, "%u light%s%s%s%s\n", board_ms(), red ? " red" : "", green ? " green" : "", blue ? " blue" : "",
          red || green || blue ? "" : " off");
}

static FILE *frames;
static uint8_t frame[FRAME_BYTES];
static uint32_t next_frame_ms;

static bool is_dead(void) {
  const bool died = options.die_at_ms != 0 && board_ms() >= options.die_at_ms;
  return strcmp(options.camera, "dead") == 0 || (died && !(options.heal_at_ms && board_ms() >= options.heal_at_ms));
}

const char *camera_error_text(void) { return "the camera does not answer"; }
camera_status camera_open(void) { return is_dead() ? CAMERA_FAILED : CAMERA_OK; }

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
static unsigned bar_at(int column) {
  static const uint16_t bars[CAMERA_BARS] = {0xFFFF, 0xFFE0, 0x07FF, 0x07E0, 0xF81F, 0xF800, 0x001F, 0x0000};
  const int left = (CAMERA_SENSOR_WIDTH - CAMERA_SENSOR_SHOWN) / 2;
  const int place = left + column * CAMERA_SENSOR_SHOWN / CAMERA_WIDTH;
  return bars[place * CAMERA_BARS / CAMERA_SENSOR_WIDTH];
}

static void draw_bars(void) {
  for (int place = 0; place < FRAME_BYTES / 2; place++) {
    const unsigned color = options.gray_bars ? 0x8410 : bar_at(place % CAMERA_WIDTH);
    frame[2 * place] = (uint8_t)(color >> 8);
    frame[2 * place + 1] = (uint8_t)color;
  }
}

static void read_frame(void) {
  if (frames == NULL) {
    memset(frame, strcmp(options.camera, "white") == 0 ? 0xFF : 0x00, sizeof frame);
  } else if (fread(frame, 1, sizeof frame, frames) != sizeof frame) {
    rewind(frames);
    if (fread(frame, 1, sizeof frame, frames) != sizeof frame) {
      fprintf(stderr, "%s: a frame must have %d bytes\n", options.camera, FRAME_BYTES);
      exit(2);
    }
  }
}

camera_status camera_start_frame(bool color_bars) {
  if (is_dead()) {
    return CAMERA_FAILED;
  }
  if (board_ms() < next_frame_ms) {
    return CAMERA_WAIT;
  }
  next_frame_ms = board_ms() + FRAME_PERIOD_MS;
  if (color_bars) {
    draw_bars();
  } else {
    read_frame();
  }
  return CAMERA_OK;
}

camera_status camera_read_row(int32_t y, uint8_t *row) {
  if (is_dead()) {
    return CAMERA_FAILED;
  }
  if (strcmp(options.camera, "frozen") == 0) {
    return CAMERA_WAIT;
  }
  memcpy(row, frame + y * CAMERA_ROW_BYTES, CAMERA_ROW_BYTES);
  for (int at = 0; options.low_first && at < CAMERA_ROW_BYTES; at += 2) {
    const uint8_t high = row[at];
    row[at] = row[at + 1];
    row[at + 1] = high;
  }
  return CAMERA_OK;
}

static bool read_options(int count, char **words) {
  for (int at = 1; at < count; at++) {
    const char *value = at + 1 < count ? words[at + 1] : NULL;
    if (strcmp(words[at], "--low-first") == 0) {
      options.low_first = true;
    } else if (strcmp(words[at], "--no-reader") == 0) {
      options.no_reader = true;
    } else if (strcmp(words[at], "--gray-bars") == 0) {
      options.gray_bars = true;
    } else if (value == NULL) {
      return false;
    } else if (strcmp(words[at], "--camera") == 0) {
      options.camera = words[++at];
    } else if (strcmp(words[at], "--script") == 0) {
      options.script = words[++at];
    } else if (strcmp(words[at], "--until") == 0) {
      options.until_ms = (uint32_t)strtoul(words[++at], NULL, 10);
    } else if (strcmp(words[at], "--die-at") == 0) {
      options.die_at_ms = (uint32_t)strtoul(words[++at], NULL, 10);
    } else if (strcmp(words[at], "--heal-at") == 0) {
      options.heal_at_ms = (uint32_t)strtoul(words[++at], NULL, 10);
    } else {
      return false;
    }
  }
  return options.camera != NULL && (options.script != NULL) == (options.until_ms != 0);
}

static bool open_terminal(void) {
  struct termios raw;
  serial.terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (serial.terminal < 0 || grantpt(serial.terminal) != 0 || unlockpt(serial.terminal) != 0) {
    return false;
  }
  const char *name = ptsname(serial.terminal);
  const int kept_open = open(name, O_RDWR | O_NOCTTY); /* keeps the terminal open between two connections */
  if (kept_open < 0 || tcgetattr(kept_open, &raw) != 0) {
    return false;
  }
  cfmakeraw(&raw);
  printf("serial %s\n", name);
  fflush(stdout);
  return tcsetattr(kept_open, TCSANOW, &raw) == 0 && fcntl(serial.terminal, F_SETFL, O_NONBLOCK) == 0;
}

static bool open_camera(void) {
  static const char *const drawn[] = {"dead", "black", "white", "frozen"};
  for (size_t place = 0; place < sizeof drawn / sizeof drawn[0]; place++) {
    if (strcmp(options.camera, drawn[place]) == 0) {
      return true;
    }
  }
  frames = fopen(options.camera, "rb");
  return frames != NULL;
}

int main(int count, char **words) {
  if (!read_options(count, words)) {
    fprintf(stderr,
            "usage: firmware --camera FRAMES|dead|black|white|frozen [--script FILE --until MS] [--low-first]\n"
            "                [--gray-bars] [--no-reader] [--die-at MS] [--heal-at MS]\n");
    return 2;
  }
  if (!open_camera() || (options.script && (serial.script = fopen(options.script, "r")) == NULL)) {
    perror(frames ? options.script : options.camera);
    return 2;
  }
  clock_gettime(CLOCK_MONOTONIC, &started_at);
  if (!options.script && !open_terminal()) {
    perror("cannot open a pseudo-terminal");
    return 2;
  }
  application_begin();
  while (options.script == NULL || virtual_ms < options.until_ms) {
    application_step();
    flush_out();
    if (board_ms() - fed_ms >= WATCHDOG_MS) {
      fprintf(stderr, "%u watchdog\n", board_ms());
      return WATCHDOG_STATUS;
    }
    if (options.script) {
      virtual_ms++;
    } else {
      usleep(500);
    }
  }
  return 0;
}
