#include "ov7675.h"

#include <Arduino.h>
#include <nrf.h>

#include "averaging.h"
#include "pins.h"
#include "sccb.h"

/* Arduino compiles for size; reading a line is time-critical. */
#pragma GCC optimize("O3")

namespace ov7675 {
namespace {

constexpr uint8_t kDevice = 0x21;

enum Register : uint8_t {
  kVref = 0x03,
  kCom1 = 0x04,
  kPid = 0x0A,
  kCom3 = 0x0C,
  kClkrc = 0x11,
  kCom7 = 0x12,
  kCom8 = 0x13,
  kCom9 = 0x14,
  kCom10 = 0x15,
  kHstart = 0x17,
  kHstop = 0x18,
  kVstart = 0x19,
  kVstop = 0x1A,
  kMidh = 0x1C,
  kHref = 0x32,
  kTslb = 0x3A,
  kCom11 = 0x3B,
  kCom13 = 0x3D,
  kCom14 = 0x3E,
  kCom15 = 0x40,
  kMatrix = 0x4F,
  kMatrixSigns = 0x58,
  kDblv = 0x6B,
  kAwbControl = 0x6F,
  kScalingX = 0x70,
  kScalingY = 0x71,
  kScalingDown = 0x72,
  kScalingClock = 0x73,
  kGammaSlope = 0x7A,
  kGamma = 0x7B,
  kRgb444 = 0x8C,
  kScalingDelay = 0xA2,
  kColors = 0xB0,
};

constexpr uint8_t kReset = 0x80;
constexpr uint8_t kPidOv767x = 0x76;
constexpr uint8_t kMidhOmniVision = 0x7F;
constexpr uint8_t kBars = 0x80; /* bit of kScalingY: eight color bars */
constexpr uint8_t kScalingYPlain = 0x35;

struct Setting {
  uint8_t address;
  uint8_t value;
};

/* 16 MHz / 16: one byte per microsecond. */
constexpr uint8_t kClockDivider = 16;
constexpr uint16_t kLineStart = 158, kLineStop = 14, kFrameStart = 14, kFrameStop = 494;

/* Changes to the reset values: RGB565 at full range, VGA, automatic gain, exposure and white balance. The color matrix
 * and the gamma curve are OmniVision's values for RGB. */
constexpr Setting kSettings[] = {
    {kClkrc, kClockDivider - 1},
    {kDblv, 0x0A}, /* no clock multiplier */
    {kCom7, 0x04}, /* RGB, VGA */
    {kRgb444, 0x00},
    {kCom1, 0x00},
    {kCom15, 0xD0}, /* 0 to 255, 565 */
    {kCom10, 0x20}, /* no pixel clock between lines */
    {kTslb, 0x04},
    {kCom3, 0x00}, /* no scaling */
    {kCom14, 0x00},
    {kScalingX, 0x3A},
    {kScalingY, kScalingYPlain},
    {kScalingDown, 0x11},
    {kScalingClock, 0xF0},
    {kScalingDelay, 0x02},
    {kHstart, kLineStart >> 3},
    {kHstop, kLineStop >> 3},
    {kHref, 0x80 | (kLineStop & 7) << 3 | (kLineStart & 7)},
    {kVstart, kFrameStart >> 2},
    {kVstop, kFrameStop >> 2},
    {kVref, (kFrameStop & 3) << 2 | (kFrameStart & 3)},
    {kCom8, 0xE7},  /* fast automatic exposure, gain, white balance */
    {kCom9, 0x38},  /* gain up to 16 */
    {kCom11, 0x12}, /* banding filter, 50 or 60 Hz by detection */
    {kMatrix + 0, 0xB3},
    {kMatrix + 1, 0xB3},
    {kMatrix + 2, 0x00},
    {kMatrix + 3, 0x3D},
    {kMatrix + 4, 0xA7},
    {kMatrix + 5, 0xE4},
    {kMatrixSigns, 0x9E},
    {kCom13, 0xC0}, /* gamma, automatic saturation */
    {kAwbControl, 0x9F},
    {kColors, 0x84}, /* undocumented; without it red and green are weak */
    {kGammaSlope, 0x20},
    {kGamma + 0, 0x1C},
    {kGamma + 1, 0x28},
    {kGamma + 2, 0x3C},
    {kGamma + 3, 0x55},
    {kGamma + 4, 0x68},
    {kGamma + 5, 0x76},
    {kGamma + 6, 0x80},
    {kGamma + 7, 0x88},
    {kGamma + 8, 0x8F},
    {kGamma + 9, 0x96},
    {kGamma + 10, 0xA3},
    {kGamma + 11, 0xAF},
    {kGamma + 12, 0xC4},
    {kGamma + 13, 0xD7},
    {kGamma + 14, 0xE8},
};

constexpr uint32_t kHrefBit = 1u << pins::kHref, kPclkBit = 1u << pins::kPclk;
constexpr int32_t kSensorWidth = 640, kSensorHeight = 480;
constexpr int32_t kSkippedPixels = (kSensorWidth - kLinePixels) / 2;
constexpr int32_t kSkippedLines = (kSensorHeight - kFrameRows * kShrink) / 2;

/* At the nominal clock a frame takes 0.8 s and a line 1.6 ms; the timeouts are more than twice that. */
constexpr uint32_t kFrameTimeout_ms = 2000, kSettling_ms = 300;
constexpr uint32_t kLineTimeout_us = 10000;
/* Reads of the port before the pixel clock counts as missing: about 50 us. */
constexpr uint32_t kClockTimeout_reads = 400;
/* The same for the gap between lines (0.3 ms). Without a line, interrupts are off for about 0.5 ms at most. */
constexpr uint32_t kGapTimeout_reads = 4000;
/* If the row is at most this many lines away, wait for it; else return kWait. */
constexpr int32_t kNearLines = 3;
/* A change between image and bars takes effect one frame later. */
constexpr uint32_t kFramesToChange = 1;

constexpr uint32_t kLineChannel = 15, kFrameChannel = 14, kLineEdge = 7, kFrameEdge = 6;
constexpr uint32_t kNow = 0,
                   kAtFrame = 1; /* capture registers: the count on request, and at the start of the last frame */

uint8_t line_buffer[2 * kLinePixels];
Averaging averaging;
bool is_set_up, shows_bars, is_starting;
uint32_t asked_ms;
uint32_t frames_to_skip;
int32_t asked_row;

uint32_t input_pin() {
  return (GPIO_PIN_CNF_DIR_Input << GPIO_PIN_CNF_DIR_Pos) | (GPIO_PIN_CNF_INPUT_Connect << GPIO_PIN_CNF_INPUT_Pos) |
         (GPIO_PIN_CNF_PULL_Pulldown << GPIO_PIN_CNF_PULL_Pos);
}

void drive(uint32_t pin, bool high) {
  if (high) {
    NRF_P0->OUTSET = 1u << pin;
  } else {
    NRF_P0->OUTCLR = 1u << pin;
  }
  NRF_P0->PIN_CNF[pin] =
      (GPIO_PIN_CNF_DIR_Output << GPIO_PIN_CNF_DIR_Pos) | (GPIO_PIN_CNF_INPUT_Disconnect << GPIO_PIN_CNF_INPUT_Pos);
}

void configure_inputs() {
  NRF_P0->PIN_CNF[pins::kVsync] = input_pin();
  NRF_P0->PIN_CNF[pins::kHref] = input_pin();
  NRF_P0->PIN_CNF[pins::kPclk] = input_pin();
  for (uint32_t pin = 0; pin < 32; pin++) {
    if ((pins::kDataBits >> pin & 1u) != 0) {
      NRF_P1->PIN_CNF[pin] = input_pin();
    }
  }
}

/* The sensor's clock is the master clock of the I2S peripheral, 16 MHz. The values are numbers because versions of
 * Nordic's headers have different names for them. */
void start_clock() {
  NRF_I2S->CONFIG.MCKEN = 1;
  NRF_I2S->CONFIG.MCKFREQ = 0x80000000; /* 32 MHz / 2 */
  NRF_I2S->CONFIG.MODE = 0;             /* master */
  NRF_I2S->PSEL.MCK = pins::kXclk;
  NRF_I2S->ENABLE = 1;
  NRF_I2S->TASKS_START = 1;
}

void count_edge(uint32_t edge, uint32_t pin, uint32_t polarity, uint32_t channel, const volatile void *task) {
  NRF_GPIOTE->CONFIG[edge] = (GPIOTE_CONFIG_MODE_Event << GPIOTE_CONFIG_MODE_Pos) | (pin << GPIOTE_CONFIG_PSEL_Pos) |
                             (polarity << GPIOTE_CONFIG_POLARITY_Pos);
  NRF_PPI->CH[channel].EEP = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(&NRF_GPIOTE->EVENTS_IN[edge]));
  NRF_PPI->CH[channel].TEP = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(task));
  NRF_PPI->CHENSET = 1u << channel;
}

/* In hardware, each rising edge of HREF increments the counter and each falling edge of VSYNC captures it. */
void start_counter() {
  NRF_TIMER3->TASKS_STOP = 1;
  NRF_TIMER3->MODE = TIMER_MODE_MODE_Counter << TIMER_MODE_MODE_Pos;
  NRF_TIMER3->BITMODE = TIMER_BITMODE_BITMODE_32Bit << TIMER_BITMODE_BITMODE_Pos;
  NRF_TIMER3->TASKS_CLEAR = 1;
  count_edge(kLineEdge, pins::kHref, GPIOTE_CONFIG_POLARITY_LoToHi, kLineChannel, &NRF_TIMER3->TASKS_COUNT);
  count_edge(kFrameEdge, pins::kVsync, GPIOTE_CONFIG_POLARITY_HiToLo, kFrameChannel,
             &NRF_TIMER3->TASKS_CAPTURE[kAtFrame]);
  NRF_TIMER3->TASKS_START = 1;
}

uint32_t lines_begun() {
  NRF_TIMER3->TASKS_CAPTURE[kNow] = 1;
  return NRF_TIMER3->CC[kNow];
}

bool has_frame_begun() {
  if (NRF_GPIOTE->EVENTS_IN[kFrameEdge] == 0) {
    return false;
  }
  NRF_GPIOTE->EVENTS_IN[kFrameEdge] = 0;
  return true;
}

/* Waits for a rising edge of the pixel clock. */
inline bool wait_for_clock() {
  uint32_t reads_left = kClockTimeout_reads;
  while ((NRF_P0->IN & kPclkBit) != 0) {
    if (--reads_left == 0) {
      return false;
    }
  }
  while ((NRF_P0->IN & kPclkBit) == 0) {
    if (--reads_left == 0) {
      return false;
    }
  }
  return true;
}

bool read_line() {
  for (int32_t skipped = 0; skipped < 2 * kSkippedPixels; skipped++) {
    if (!wait_for_clock()) {
      return false;
    }
  }
  for (uint8_t &value : line_buffer) {
    if (!wait_for_clock()) {
      return false;
    }
    value = pins::byte_of(NRF_P1->IN);
  }
  return true;
}

/* Waits for the next line and returns its number with interrupts off. They are switched off in the gap before the line,
 * because a line can only be read from its first edge. Returns false with interrupts on if no line comes. */
bool wait_for_line(uint32_t *number) {
  const uint32_t begun_us = micros();
  while (micros() - begun_us <= kLineTimeout_us) {
    if ((NRF_P0->IN & kHrefBit) != 0) {
      continue; /* too late: a line has started */
    }
    noInterrupts();
    *number = lines_begun();
    /* Check HREF after the count: it is unknown if a line that starts in between is counted. */
    uint32_t reads_left = (NRF_P0->IN & kHrefBit) == 0 ? kGapTimeout_reads : 0;
    for (; reads_left > 0; reads_left--) {
      if ((NRF_P0->IN & kHrefBit) != 0) {
        return true;
      }
    }
    interrupts();
  }
  return false;
}

Status set_up() {
  is_set_up = shows_bars = is_starting = false;
  configure_inputs();
  drive(pins::kPower, false);
  drive(pins::kReset, false);
  start_clock();
  sccb::begin();
  delay(5);
  drive(pins::kReset, true);
  delay(5);
  if (!sccb::write(kDevice, kCom7, kReset)) {
    return Status::kNoAnswer;
  }
  delay(5);
  uint8_t product = 0, maker = 0;
  if (!sccb::read(kDevice, kPid, &product) || !sccb::read(kDevice, kMidh, &maker)) {
    return Status::kNoAnswer;
  }
  if (product != kPidOv767x || maker != kMidhOmniVision) {
    return Status::kWrongChip;
  }
  for (const Setting &setting : kSettings) {
    if (!sccb::write(kDevice, setting.address, setting.value)) {
      return Status::kNoAnswer;
    }
  }
  start_counter();
  is_set_up = true;
  asked_ms = millis();
  return Status::kWait;
}

Status show_bars(bool wanted) {
  if (wanted == shows_bars) {
    return Status::kOk;
  }
  const uint8_t value = wanted ? static_cast<uint8_t>(kScalingYPlain | kBars) : kScalingYPlain;
  if (!sccb::write(kDevice, kScalingY, value)) {
    return Status::kNoAnswer;
  }
  shows_bars = wanted;
  frames_to_skip = kFramesToChange;
  return Status::kOk;
}

Status add_lines(uint32_t wanted) {
  while (averaging.lines() < kShrink && lines_begun() < wanted + kShrink) {
    uint32_t number = 0;
    if (!wait_for_line(&number)) {
      return Status::kNoHref;
    }
    const bool is_in_row = number >= wanted && number < wanted + kShrink;
    const bool taken = is_in_row && read_line();
    interrupts();
    if (taken) {
      averaging.add(line_buffer);
    } else if (is_in_row) {
      return Status::kNoPclk;
    }
  }
  return averaging.lines() > 0 ? Status::kOk : Status::kWait;
}

}  // namespace

const char *describe(Status status) {
  switch (status) {
    case Status::kOk:
    case Status::kWait:
      return "ok";
    case Status::kNoAnswer:
      return "no answer on SIOC and SIOD";
    case Status::kWrongChip:
      return "the chip is not an OV7670 or OV7675";
    case Status::kNoVsync:
      return "no VSYNC";
    case Status::kNoHref:
      return "no HREF";
    case Status::kNoPclk:
      return "no PCLK";
  }
  return "unknown";
}

Status open() {
  if (!is_set_up) {
    return set_up();
  }
  if (millis() - asked_ms < kSettling_ms) {
    return Status::kWait;
  }
  is_set_up = false; /* the next call configures the sensor again */
  return Status::kOk;
}

Status start(bool bars) {
  if (!is_starting) {
    const Status shown = show_bars(bars);
    if (shown != Status::kOk) {
      return shown;
    }
    has_frame_begun(); /* discard earlier events */
    asked_ms = millis();
    is_starting = true;
  }
  if (has_frame_begun()) {
    asked_ms = millis();
    if (frames_to_skip == 0) {
      is_starting = false;
      asked_row = -1;
      return Status::kOk;
    }
    frames_to_skip--;
  }
  if (millis() - asked_ms > kFrameTimeout_ms) {
    is_starting = false;
    return Status::kNoVsync;
  }
  return Status::kWait;
}

Status read_row(int32_t y, uint8_t *row) {
  const uint32_t wanted = NRF_TIMER3->CC[kAtFrame] + static_cast<uint32_t>(kSkippedLines + kShrink * y);
  const int32_t lines_away = static_cast<int32_t>(wanted - lines_begun());
  if (y != asked_row) {
    asked_row = y;
    asked_ms = millis();
  }
  if (lines_away > kNearLines || lines_away <= -kShrink) {
    /* Too early, or too late: then the row comes with the next frame. If no lines are counted, it never comes. */
    return millis() - asked_ms > kFrameTimeout_ms ? Status::kNoHref : Status::kWait;
  }
  averaging.clear();
  const Status status = add_lines(wanted);
  if (status == Status::kOk) {
    averaging.write(row);
  }
  return status;
}

}  // namespace ov7675
