/* A simulated sensor, and scenes that run the real driver with it and print the results for the test.
 *
 * The timing is that of the OV7670's data sheet for VGA: one byte per clock, 784 pixels per line, 510 lines per frame,
 * VSYNC high for three lines, then 17 lines before the first of 480. The pixel clock stops between lines; data changes
 * at its falling edge. */
#include <Arduino.h>
#include <math.h>
#include <nrf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ov7675.h"
#include "pins.h"

extern "C" {
#include "color_bar_test.h"
}

namespace {

constexpr uint64_t kByte_ns = 1000, kLine_ns = 1568 * kByte_ns, kFrame_ns = 510 * kLine_ns;
constexpr uint64_t kFirstLine = 20, kLines = 480, kPulseLines = 3, kLineBytes = 1280;

uint64_t now_ns, off_since_ns, longest_off_ns, busy_ns;
bool interrupts_off;
uint64_t forgotten_ns;
const char *broken = "";
uint8_t registers[256];
uint32_t port_0_out;

bool is_broken(const char *part) { return strcmp(broken, part) == 0; }

/* The bars of the sensor's test image, over all 640 pixels. A gain and a gamma of the sensor are applied to them. */
double bar_gain = 1, bar_gamma = 1;
bool low_first;

uint8_t bar_byte(uint64_t place) {
  static const uint8_t colors[8] = {7, 6, 3, 2, 5, 4, 1, 0};
  const uint8_t color = colors[place / 2 / 80];
  const auto level = [](bool on, double most) {
    const double value = pow(bar_gain * (on ? 0.94 : 0.06), bar_gamma);
    return static_cast<uint32_t>((value > 1 ? 1 : value) * most + 0.5);
  };
  const uint32_t pixel = level(color & 4, 31) << 11 | level(color & 2, 63) << 5 | level(color & 1, 31);
  return static_cast<uint8_t>((place % 2 == 0) != low_first ? pixel >> 8 : pixel);
}

uint8_t byte_at(uint64_t line, uint64_t place) {
  if ((registers[0x71] & 0x80) != 0) {
    return bar_byte(place);
  }
  return static_cast<uint8_t>(line * 31 + place * 7 + line * place / 5);
}

/* Returns the number of rising edges of HREF up to a time. */
uint64_t rises(uint64_t at_ns) {
  if (is_broken("href")) {
    return 0;
  }
  const uint64_t line = at_ns % kFrame_ns / kLine_ns;
  const uint64_t in_frame = line < kFirstLine ? 0 : line - kFirstLine + 1;
  return at_ns / kFrame_ns * kLines + (in_frame > kLines ? kLines : in_frame);
}

/* Returns the time of the last falling edge of VSYNC, or 0. */
uint64_t last_fall_ns(uint64_t at_ns) {
  const uint64_t fall = kPulseLines * kLine_ns;
  if (is_broken("vsync") || at_ns < fall) {
    return 0;
  }
  return (at_ns - fall) / kFrame_ns * kFrame_ns + fall;
}

struct Pins {
  bool vsync, href, pclk;
  uint8_t data;
};

Pins sensor() {
  const uint64_t line = now_ns % kFrame_ns / kLine_ns, in_line = now_ns % kLine_ns;
  Pins pins = {line < kPulseLines, false, false, 0};
  if (line >= kFirstLine && line < kFirstLine + kLines && in_line < kLineBytes * kByte_ns) {
    pins.href = true;
    pins.pclk = in_line % kByte_ns >= kByte_ns / 2;
    pins.data = byte_at(line - kFirstLine, in_line / kByte_ns);
  }
  return pins;
}

/* The sensor on the control bus. */
struct Bus {
  bool scl = true, master = true, slave = true, active = false, answering = false;
  int bits = 0, bytes = 0;
  uint8_t shift = 0, address = 0;

  bool sda() const { return master && slave; }

  void take(uint8_t value) {
    bytes++;
    if (bytes == 1) {
      active = value >> 1 == 0x21 && !is_broken("control");
      answering = active && (value & 1);
      shift = registers[address];
    } else if (bytes == 2) {
      address = value;
    } else {
      registers[address] = address == 0x12 && value == 0x80 ? 0 : value;
    }
  }

  void set_sda(bool level) {
    if (scl && master != level) {
      active = !level;
      answering = false;
      slave = true;
      bits = bytes = 0;
    }
    master = level;
  }

  void set_scl(bool level) {
    if (level == scl) {
      return;
    }
    scl = level;
    if (!active) {
      return;
    }
    if (level) {
      if (!answering && bits < 8) {
        shift = static_cast<uint8_t>(shift << 1 | sda());
      }
      bits++;
      return;
    }
    if (answering) {
      slave = bits >= 8 || (shift >> (7 - bits) & 1);
    } else if (bits == 8) {
      take(shift);
      slave = !active;
    } else if (bits == 9) {
      slave = answering ? (shift >> 7 & 1) : true;
      bits = 0;
    }
    if (answering && bits == 9) {
      slave = (shift >> 7 & 1);
      bits = 0;
    }
  }
} bus;

void expect(bool right, const char *what) {
  if (!right) {
    printf("wrong: %s\n", what);
    exit(1);
  }
}

}  // namespace

namespace sim {

Gpio<0> p0;
Gpio<1> p1;
Timer timer;
Gpiote gpiote;
Ppi ppi;
I2s i2s;
Nvmc nvmc;
uint32_t captured;

void StartClock::operator=(uint32_t) { expect((p0.PIN_CNF[pins::kXclk] & 1u) == 1, "XCLK is an output"); }

void pass(uint64_t ns) { now_ns += ns; }

uint32_t read_port(int port) {
  const Pins pins = sensor();
  if (port == 1) {
    const uint32_t noise = 0x0123'0055u & ~pins::kDataBits;
    return noise | (pins.data & 0xFCu) << 8 | (pins.data & 3u) << 2;
  }
  uint32_t bits = bus.sda() ? 1u << pins::kSda : 0;
  bits |= pins.vsync && !is_broken("vsync") ? 1u << pins::kVsync : 0;
  bits |= pins.href && !is_broken("href") ? 1u << pins::kHref : 0;
  bits |= pins.pclk && !is_broken("pclk") ? 1u << pins::kPclk : 0;
  return bits;
}

void set_port(int port, uint32_t bits, bool high) {
  expect(port == 0, "only port 0 is driven");
  port_0_out = high ? port_0_out | bits : port_0_out & ~bits;
  if (bits >> pins::kSda & 1) {
    bus.set_sda(high);
  }
  if (bits >> pins::kScl & 1) {
    bus.set_scl(high);
  }
}

/* The counter counts only the events that the driver connected to it. */
bool is_wired(uint32_t channel, uint32_t edge, uint32_t pin, const void *task) {
  const auto low = [](const void *where) { return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(where)); };
  return (ppi.CHENSET.value >> channel & 1 || channel == 15 || channel == 14) &&
         ppi.CH[channel].EEP == low(&gpiote.EVENTS_IN[edge]) && ppi.CH[channel].TEP == low(task) &&
         (gpiote.CONFIG[edge] >> 8 & 31u) == pin && (gpiote.CONFIG[edge] & 3u) == 1;
}

/* Rising edges of the pixel clock, which stops between lines. */
uint32_t count_clocks() {
  const uint64_t line = now_ns % kFrame_ns / kLine_ns, in_line = now_ns % kLine_ns;
  const bool in_image = line >= kFirstLine && line < kFirstLine + kLines;
  const uint64_t bytes = in_image ? (in_line + kByte_ns / 2) / kByte_ns : 0;
  return static_cast<uint32_t>(line * 2 * kLineBytes + (bytes > kLineBytes ? kLineBytes : bytes));
}

uint32_t count_lines() {
  if ((gpiote.CONFIG[7] >> 8 & 31u) == pins::kPclk) {
    return count_clocks();
  }
  expect(is_wired(15, 7, pins::kHref, &timer.TASKS_COUNT) && timer.MODE == 1, "HREF counts");
  return static_cast<uint32_t>(rises(now_ns));
}

uint32_t lines_at_frame() {
  expect(is_wired(14, 6, pins::kVsync, &timer.TASKS_CAPTURE[1]), "VSYNC notes the count");
  return static_cast<uint32_t>(rises(last_fall_ns(now_ns)));
}

bool frame_event() { return last_fall_ns(now_ns) > forgotten_ns; }
void forget_frame_event() { forgotten_ns = now_ns; }

}  // namespace sim

uint32_t millis() {
  sim::pass(400);
  return static_cast<uint32_t>(now_ns / 1000000);
}
uint32_t micros() {
  sim::pass(400);
  return static_cast<uint32_t>(now_ns / 1000);
}
void delay(uint32_t ms) { sim::pass(ms * 1000000ull); }
void delayMicroseconds(uint32_t us) { sim::pass(us * 1000ull); }
void noInterrupts() {
  interrupts_off = true;
  off_since_ns = now_ns;
}
void interrupts() {
  if (interrupts_off && now_ns - off_since_ns > longest_off_ns) {
    longest_off_ns = now_ns - off_since_ns;
  }
  interrupts_off = false;
  sim::pass(busy_ns); /* pending interrupts, and the averaging of the line */
}

namespace {

uint64_t longest_call_ns;

template <typename Call>
ov7675::Status timed(Call call) {
  const uint64_t begun_ns = now_ns;
  const ov7675::Status status = call();
  if (now_ns - begun_ns > longest_call_ns) {
    longest_call_ns = now_ns - begun_ns;
  }
  expect(!interrupts_off, "interrupts must be on after a call");
  return status;
}

/* Calls until the status is not kWait. Other work takes time between calls. */
template <typename Call>
ov7675::Status until_done(Call call, uint64_t work_ns) {
  const uint64_t limit_ns = now_ns + 10000000000ull;
  for (;;) {
    const ov7675::Status status = timed(call);
    if (status != ov7675::Status::kWait) {
      return status;
    }
    expect(now_ns < limit_ns, "the status is kWait for ever");
    sim::pass(work_ns);
  }
}

}  // namespace

/* Prints what the color bar test finds in a row. */
void print_bars(const uint8_t *row) {
  static const char *const orders[] = {"not tested", "high first", "low first", "unknown"};
  color_bars bars;
  color_bar_test_init(&bars);
  color_bar_test_row(&bars, row);
  printf("order %s\nwrong_bars %d\n", orders[bars.order], static_cast<int>(bars.wrong_bars));
  printf("bars");
  for (int bar = 0; bar < CAMERA_BARS; bar++) {
    printf(" %s=%d,%d,%d", color_bar_test_name(bars.expected[bar]), bars.seen[bar][0], bars.seen[bar][1],
           bars.seen[bar][2]);
  }
  printf("\n");
}

void print_bring_up() {
  int32_t compared = 0, differing = 0;
  for (int32_t place = 0; place < ov7675::register_count(); place++) {
    ov7675::RegisterValue value;
    if (ov7675::read_register(place, &value)) {
      compared++;
      differing += value.read != value.expected;
    }
  }
  printf("compared %d\ndiffering %d\n", compared, differing);
  ov7675::Rates seen = {};
  const ov7675::Status status = until_done([&seen] { return ov7675::measure(&seen); }, 50000);
  const ov7675::Rates documented = ov7675::documented_rates();
  printf("measured %s\n", ov7675::describe(status));
  printf("seen %u %u %u %u\n", seen.pixel_clock_hz, seen.line_ns, seen.frame_us, seen.lines);
  printf("documented %u %u %u %u\n", documented.pixel_clock_hz, documented.line_ns, documented.frame_us,
         documented.lines);
  expect(ov7675::lock(true) == ov7675::Status::kOk, "lock");
  printf("locked %d\n", registers[0x13]);
  expect(ov7675::lock(false) == ov7675::Status::kOk, "unlock");
  printf("unlocked %d\n", registers[0x13]);
}

/* Arguments: the broken part, microseconds of other work between two calls and after each row (or a file with the
 * microseconds after each row), bars or image, gain and gamma of the bars, high or low byte first. */
int main(int count, char **arguments) {
  expect(count == 8, "seven arguments");
  bar_gain = strtod(arguments[5], nullptr);
  bar_gamma = strtod(arguments[6], nullptr);
  low_first = arguments[7][0] == 'l';
  broken = arguments[1];
  const uint64_t work_ns = strtoull(arguments[2], nullptr, 10) * 1000;
  uint64_t rows_ns[144];
  FILE *const costs = fopen(arguments[3], "r");
  for (uint64_t &row_ns : rows_ns) {
    unsigned long row_us = strtoul(arguments[3], nullptr, 10);
    expect(costs == nullptr || fscanf(costs, "%lu", &row_us) == 1, "a cost of each row");
    row_ns = row_us * 1000ull;
  }
  const bool bars = arguments[4][0] == 'b';
  busy_ns = 250000;
  registers[0x0A] = is_broken("chip") ? 0x26 : 0x76;
  registers[0x1C] = 0x7F;
  ov7675::Status status = until_done([] { return ov7675::open(); }, work_ns);
  if (status == ov7675::Status::kOk) {
    status = until_done([bars] { return ov7675::start(bars); }, work_ns);
  }
  const uint64_t begun_ns = now_ns;
  static uint8_t rows[144][352];
  for (int32_t y = 0; y < 144 && status == ov7675::Status::kOk; y++) {
    status = until_done([y] { return ov7675::read_row(y, rows[y]); }, work_ns);
    sim::pass(rows_ns[y]);
  }
  printf("picture_ms %d\nlines_lost %u\ncache %u\n", static_cast<int>((now_ns - begun_ns) / 1000000),
         ov7675::lines_lost(), static_cast<uint32_t>(sim::nvmc.ICACHECNF));
  printf("status %s\nlongest_off_us %d\nlongest_call_us %d\nms %d\nregister_71 %d\nregister_12 %d\n",
         ov7675::describe(status), static_cast<int>(longest_off_ns / 1000), static_cast<int>(longest_call_ns / 1000),
         static_cast<int>(now_ns / 1000000), registers[0x71], registers[0x12]);
  if (bars) {
    print_bars(rows[72]);
  } else if (status == ov7675::Status::kOk) {
    print_bring_up();
  }
  printf("longest_measuring_us %d\n", static_cast<int>(longest_call_ns / 1000));
  printf("clock %u %u\nrows\n", static_cast<uint32_t>(sim::i2s.CONFIG.MCKFREQ),
         static_cast<uint32_t>(sim::i2s.PSEL.MCK));
  fwrite(rows, 1, sizeof rows, stdout);
  return 0;
}
