#include "ov7675.h"

#include <Arduino.h>
#include <nrf.h>

#include "averaging.h"
#include "line_capture.h"
#include "pins.h"
#include "sccb.h"
#include "src/config.h"

/* Arduino compiles for size; averaging a line is time-critical. */
#pragma GCC optimize("O3")

namespace ov7675 {
namespace {

constexpr uint8_t kDevice = 0x21;

enum Register : uint8_t {
  kVref = 0x03,
  kCom1 = 0x04,
  kPid = 0x0A,
  kCom3 = 0x0C,
  kCom4 = 0x0D,
  kCom5 = 0x0E,
  kCom6 = 0x0F,
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
  kMirror = 0x1E,
  kExposureHigh = 0x24,
  kExposureLow = 0x25,
  kExposureFast = 0x26,
  kHref = 0x32,
  kTslb = 0x3A,
  kCom11 = 0x3B,
  kCom12 = 0x3C,
  kCom13 = 0x3D,
  kCom14 = 0x3E,
  kEdges = 0x3F,
  kCom15 = 0x40,
  kCom16 = 0x41,
  kWhiteLimits = 0x43,
  kMatrix = 0x4F,
  kContrast = 0x56,
  kMatrixSigns = 0x58,
  kWhiteControl = 0x59,
  kGainFix = 0x69,
  kGreenGain = 0x6A,
  kDblv = 0x6B,
  kWhiteGain = 0x6C,
  kScalingX = 0x70,
  kScalingY = 0x71,
  kScalingDown = 0x72,
  kScalingClock = 0x73,
  kDigitalGain = 0x74,
  kEdgeLow = 0x75,
  kPixelCorrection = 0x76,
  kNoiseOffset = 0x77,
  kMultiplexor = 0x79,
  kGammaSlope = 0x7A,
  kGamma = 0x7B,
  kRgb444 = 0x8C,
  kBanding50 = 0x9D,
  kBanding60 = 0x9E,
  kHistogram1 = 0x9F,
  kHistogram2 = 0xA0,
  kScalingDelay = 0xA2,
  kBanding50Max = 0xA5,
  kHistogram3 = 0xA6,
  kBanding60Max = 0xAB,
  kColors = 0xB0,
  kBlackLevel = 0xB1,
  kBlackTarget = 0xB3,
  kMultiplexed = 0xC8,
  kSaturation = 0xC9,
};

constexpr uint8_t kReset = 0x80;
constexpr uint8_t kPidOv767x = 0x76;
constexpr uint8_t kMidhOmniVision = 0x7F;
constexpr uint8_t kBars = 0x80; /* bit of kScalingY: eight color bars */
constexpr uint8_t kScalingYPlain = 0x35;
/* Bits of kCom8. */
constexpr uint8_t kFastExposure = 0xC0, kBandingFilter = 0x20, kAutoGain = 4, kAutoWhite = 2, kAutoExposure = 1;
constexpr uint8_t kAutomatic = kFastExposure | kBandingFilter | kAutoGain | kAutoWhite | kAutoExposure;
constexpr uint8_t kLocked = kFastExposure | kBandingFilter;

struct Setting {
  uint8_t address;
  uint8_t value;
};

/* 16 MHz / 16: one byte per microsecond. */
constexpr uint32_t kMaster_hz = 16000000, kClockDivider = 16, kPixelClock_hz = kMaster_hz / kClockDivider;
constexpr uint32_t kLine_us = 2 * 784 * (1000000 / kPixelClock_hz), kLinesOfFrame = 510;
constexpr uint16_t kLineStart = 158, kLineStop = 14, kFrameStart = 14, kFrameStop = 494;
/* A lamp flickers twice in a period of the mains; exposures are multiples of that time, in lines. */
constexpr uint8_t flicker_lines(uint32_t mains_hz) { return static_cast<uint8_t>(1000000 / (2 * mains_hz) / kLine_us); }
/* At most 0.1 s: a longer exposure blurs an image that is taken by hand. */
constexpr uint8_t most_flickers(uint32_t mains_hz) { return static_cast<uint8_t>(2 * mains_hz / 10); }
static_assert(MAINS_HZ == 50 || MAINS_HZ == 60, "the mains have 50 or 60 Hz");

/* The registers that differ from the reset values, in groups; the reason of each group is above it. Values without a
 * published meaning are OmniVision's, on which the public drivers for these sensors agree. */
constexpr Setting kSettings[] = {
    /* Clock: no multiplier, so that the CPU can read each byte. */
    {kClkrc, kClockDivider - 1},
    {kDblv, 0x0A},
    /* Format: RGB565 at full range (0 to 255), VGA, not mirrored. */
    {kCom7, 0x04},
    {kRgb444, 0x00},
    {kCom1, 0x00},
    {kCom15, 0xD0},
    {kTslb, 0x04},
    {kMirror, 0x07},
    /* Signals: no pixel clock between lines. */
    {kCom10, 0x20},
    {kCom12, 0x78},
    /* No scaling; the window is the whole image. */
    {kCom3, 0x00},
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
    /* Exposure: the target's limits, and the histogram that measures it. The gain is at most 16. */
    {kCom8, kLocked}, /* off while its settings change */
    {kCom4, 0x40},
    {kCom9, 0x38},
    {kExposureHigh, 0x95},
    {kExposureLow, 0x33},
    {kExposureFast, 0xE3},
    {kHistogram1, 0x78},
    {kHistogram2, 0x68},
    {kHistogram2 + 1, 0x03},
    {kHistogram3 + 0, 0xD8},
    {kHistogram3 + 1, 0xD8},
    {kHistogram3 + 2, 0xF0},
    {kHistogram3 + 3, 0x90},
    {kHistogram3 + 4, 0x94},
    /* Flicker of lamps: exposures are multiples of its time. The frequency is set, because the detection needs
     * registers that depend on the frame rate. */
    {kBanding50, flicker_lines(50)},
    {kBanding60, flicker_lines(60)},
    {kBanding50Max, most_flickers(50)},
    {kBanding60Max, most_flickers(60)},
    {kCom11, MAINS_HZ == 50 ? 0x0A : 0x02},
    /* Black level: measured on covered pixels; without it dark parts have a tint that changes with the temperature. */
    {kBlackLevel, 0x0C},
    {kBlackLevel + 1, 0x0E},
    {kBlackTarget, 0x82},
    {0xB8, 0x0A},
    /* Pixel correction: isolated black or white pixels become the mean of their neighbors. */
    {kPixelCorrection, 0xE1},
    /* Analog parts and timing that OmniVision does not describe. */
    {kCom5, 0x61},
    {kCom6, 0x4B},
    {0x16, 0x02},
    {0x21, 0x02},
    {0x22, 0x91},
    {0x29, 0x07},
    {0x33, 0x0B},
    {0x34, 0x11},
    {0x35, 0x0B},
    {0x37, 0x1D},
    {0x38, 0x71},
    {0x39, 0x2A},
    {0x4D, 0x40},
    {0x4E, 0x20},
    {kGainFix, 0x00},
    {kDigitalGain, 0x10},
    {0x78, 0x04},
    {0x8D, 0x4F},
    {0x8E, 0x00},
    {0x8F, 0x00},
    {0x90, 0x00},
    {0x91, 0x00},
    /* White balance: the limits between which a pixel counts as gray, and how fast the gains follow. */
    {kWhiteLimits + 0, 0x0A},
    {kWhiteLimits + 1, 0xF0},
    {kWhiteLimits + 2, 0x34},
    {kWhiteLimits + 3, 0x58},
    {kWhiteLimits + 4, 0x28},
    {kWhiteLimits + 5, 0x3A},
    {kWhiteControl + 0, 0x88},
    {kWhiteControl + 1, 0x88},
    {kWhiteControl + 2, 0x44},
    {kWhiteControl + 3, 0x67},
    {kWhiteControl + 4, 0x49},
    {kWhiteControl + 5, 0x0E},
    {kGreenGain, 0x40},
    {kWhiteGain + 0, 0x0A},
    {kWhiteGain + 1, 0x55},
    {kWhiteGain + 2, 0x11},
    {kWhiteGain + 3, 0x9F},
    {kColors, 0x84}, /* undocumented; without it red and green are weak */
    /* Lens correction, and noise in weak light. */
    {0x96, 0x00},
    {0x97, 0x30},
    {0x98, 0x20},
    {0x99, 0x30},
    {0x9A, 0x84},
    {0x9B, 0x29},
    {0x9C, 0x03},
    {0xA4, 0x88},
    /* Colors: the matrix for RGB, saturation by the light, gain of the white balance applied. */
    {kMatrix + 0, 0xB3},
    {kMatrix + 1, 0xB3},
    {kMatrix + 2, 0x00},
    {kMatrix + 3, 0x3D},
    {kMatrix + 4, 0xA7},
    {kMatrix + 5, 0xE4},
    {kMatrixSigns, 0x9E},
    {kCom13, 0xC0},
    {kCom16, 0x38},
    {kContrast, 0x40},
    {kSaturation, 0x60},
    {0x4B, 0x09},
    /* Edges: not enhanced, because training images are not; noise is reduced with the gain. */
    {kEdges, 0x00},
    {kEdgeLow, 0x05},
    {0x4C, 0x00},
    {kNoiseOffset, 0x01},
    /* Gamma: OmniVision's curve for screens. */
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
    /* The multiplexor: each pair selects an internal register and writes it. */
    {kMultiplexor, 0x01},
    {kMultiplexed, 0xF0},
    {kMultiplexor, 0x0F},
    {kMultiplexed, 0x00},
    {kMultiplexor, 0x10},
    {kMultiplexed, 0x7E},
    {kMultiplexor, 0x0A},
    {kMultiplexed, 0x80},
    {kMultiplexor, 0x0B},
    {kMultiplexed, 0x01},
    {kMultiplexor, 0x0C},
    {kMultiplexed, 0x0F},
    {kMultiplexor, 0x0D},
    {kMultiplexed, 0x20},
    {kMultiplexor, 0x09},
    {kMultiplexed, 0x80},
    {kMultiplexor, 0x02},
    {kMultiplexed, 0xC0},
    {kMultiplexor, 0x03},
    {kMultiplexed, 0x40},
    {kMultiplexor, 0x05},
    {kMultiplexed, 0x30},
    {kMultiplexor, 0x26},
    /* Last: automatic exposure, gain and white balance. */
    {kCom8, kAutomatic},
};
constexpr int32_t kSettingCount = sizeof kSettings / sizeof kSettings[0];

/* Bits that the sensor itself changes: the lowest of the exposure and the highest of the gain. */
uint8_t settled_bits(uint8_t address) { return address == kVref ? 0x3F : address == kCom1 ? 0xFC : 0xFF; }

/* A register of the multiplexor, or one that is written again later, cannot be compared. */
bool is_readable(int32_t place) {
  const uint8_t address = kSettings[place].address;
  if (address == kMultiplexor || address == kMultiplexed) {
    return false;
  }
  for (int32_t later = place + 1; later < kSettingCount; later++) {
    if (kSettings[later].address == address) {
      return false;
    }
  }
  return true;
}

constexpr int32_t kSensorHeight = 480;
constexpr int32_t kSkippedLines = (kSensorHeight - kFrameRows * kShrink) / 2;

/* At the nominal clock a frame takes 0.8 s and a line 1.6 ms; the timeouts are more than twice that. */
constexpr uint32_t kFrameTimeout_ms = 2000, kSettling_ms = 300;
constexpr uint32_t kLineTimeout_us = 10000;
/* If the row is at most this many lines away, wait for it; else return kWait. */
constexpr int32_t kNearLines = 3;
/* A change between image and bars takes effect one frame later; exposure and white balance take five frames. */
constexpr uint32_t kFramesToChange = 1, kFramesToSettle = 5;

/* The pixel clock is measured inside a line, the lines over a tenth of a frame. */
constexpr uint32_t kClockSample_us = 500, kLinesSample = 48;

constexpr uint32_t kLineChannel = 15, kFrameChannel = 14, kLineEdge = 7, kFrameEdge = 6;
constexpr uint32_t kNow = 0,
                   kAtFrame = 1; /* capture registers: the count on request, and at the start of the last frame */

uint8_t line_buffer[2 * kLinePixels];
Averaging averaging;
bool is_set_up;     /* open() waits until the sensor has settled */
bool is_configured; /* the sensor has its settings */
bool shows_bars, is_starting, is_locked;
uint32_t asked_ms;
uint32_t frames_to_skip;
uint32_t frames_passed; /* since the set-up; no longer counted above kFramesToSettle */
int32_t asked_row;
uint32_t lost_lines; /* of the current frame */

enum class Measuring : uint8_t { kNothing, kFirstFrame, kSecondFrame };
Measuring measuring;
uint32_t frame_begun_us, frame_begun_count;

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
  drive(pins::kXclk, false); /* the pin has to be an output before the I2S is switched on */
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

/* Waits for the next line with interrupts off, reads it if it belongs to the row, and switches them on again. They are
 * switched off in the gap before the line, because a line can only be read from its first edge. */
Capture read_next_line(uint32_t wanted) {
  const uint32_t begun_us = micros();
  while (micros() - begun_us <= kLineTimeout_us) {
    if (line_capture::is_in_line()) {
      continue; /* too late: a line has started */
    }
    noInterrupts();
    const uint32_t number = lines_begun();
    const bool is_in_row = number >= wanted && number < wanted + kShrink;
    /* HREF is checked after the count: it is unknown if a line that starts in between is counted. */
    const Capture captured = line_capture::is_in_line() ? Capture::kNoLine
                             : is_in_row                ? line_capture::read(line_buffer)
                                                        : line_capture::wait();
    interrupts();
    if (captured != Capture::kNoLine) {
      return captured;
    }
  }
  return Capture::kNoLine;
}

Status set_up() {
  is_set_up = is_configured = shows_bars = is_starting = is_locked = false;
  measuring = Measuring::kNothing;
  /* Without the cache the loops that read a line take longer. The boot loader switches it on, the core does not. */
  NRF_NVMC->ICACHECNF = NVMC_ICACHECNF_CACHEEN_Enabled << NVMC_ICACHECNF_CACHEEN_Pos;
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
  is_set_up = is_configured = true;
  frames_passed = 0;
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
    switch (read_next_line(wanted)) {
      case Capture::kRead:
        averaging.add(line_buffer);
        break;
      case Capture::kSkipped:
        break;
      case Capture::kNoLine:
        return Status::kNoHref;
      case Capture::kNoClock:
        return Status::kNoPclk;
    }
  }
  return averaging.lines() > 0 ? Status::kOk : Status::kWait;
}

uint32_t edges(uint32_t pin) {
  return (NRF_GPIOTE->CONFIG[kLineEdge] & ~(31u << GPIOTE_CONFIG_PSEL_Pos)) | pin << GPIOTE_CONFIG_PSEL_Pos;
}

/* Waits for the beginning of a line. Returns false if none comes. */
bool wait_for_line_begin() {
  const uint32_t begun = lines_begun(), begun_us = micros();
  while (lines_begun() == begun) {
    if (micros() - begun_us > kLineTimeout_us) {
      return false;
    }
  }
  return true;
}

/* Counts the pixel clock within a line: the counter counts its edges instead of those of HREF for that time. */
bool measure_pixel_clock(Rates *rates) {
  if (!wait_for_line_begin()) {
    return false;
  }
  NRF_GPIOTE->CONFIG[kLineEdge] = edges(pins::kPclk);
  noInterrupts();
  const uint32_t before = lines_begun(), before_us = micros();
  delayMicroseconds(kClockSample_us);
  const uint32_t after = lines_begun(), after_us = micros();
  interrupts();
  NRF_GPIOTE->CONFIG[kLineEdge] = edges(pins::kHref);
  rates->pixel_clock_hz =
      static_cast<uint32_t>(static_cast<uint64_t>(after - before) * 1000000 / (after_us - before_us));
  return true;
}

bool measure_lines(Rates *rates) {
  const uint32_t first = lines_begun();
  if (!wait_for_line_begin()) {
    return false;
  }
  const uint32_t before_us = micros();
  while (lines_begun() - first < kLinesSample) {
    if (!wait_for_line_begin()) {
      return false;
    }
  }
  rates->line_ns = (micros() - before_us) * 1000 / (kLinesSample - 1);
  return true;
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
    if (frames_to_skip == 0 && (bars || frames_passed >= kFramesToSettle)) {
      is_starting = false;
      asked_row = -1;
      lost_lines = 0;
      return Status::kOk;
    }
    frames_to_skip -= frames_to_skip > 0 ? 1 : 0;
    frames_passed += frames_passed < kFramesToSettle ? 1 : 0;
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
    lost_lines += static_cast<uint32_t>(kShrink - averaging.lines());
  }
  return status;
}

uint32_t lines_lost() { return lost_lines; }

int32_t register_count() { return is_configured ? kSettingCount : 0; }

bool read_register(int32_t place, RegisterValue *value) {
  const Setting &setting = kSettings[place];
  if (!is_readable(place)) {
    return false;
  }
  uint8_t read = 0;
  if (!sccb::read(kDevice, setting.address, &read)) {
    read = static_cast<uint8_t>(~setting.value);
  }
  const uint8_t bits = settled_bits(setting.address);
  const uint8_t expected = setting.address == kCom8 && is_locked        ? kLocked
                           : setting.address == kScalingY && shows_bars ? static_cast<uint8_t>(kScalingYPlain | kBars)
                                                                        : setting.value;
  *value = {setting.address, static_cast<uint8_t>(expected & bits), static_cast<uint8_t>(read & bits)};
  return true;
}

Status lock(bool wanted) {
  if (!is_configured || !sccb::write(kDevice, kCom8, wanted ? kLocked : kAutomatic)) {
    return Status::kNoAnswer;
  }
  is_locked = wanted;
  return Status::kOk;
}

Rates documented_rates() { return {kPixelClock_hz, kLine_us * 1000, kLine_us * kLinesOfFrame, kSensorHeight}; }

Status measure(Rates *rates) {
  if (measuring == Measuring::kNothing) {
    has_frame_begun(); /* discard earlier events */
    asked_ms = millis();
    measuring = Measuring::kFirstFrame;
  }
  if (!has_frame_begun()) {
    const bool is_late = millis() - asked_ms > kFrameTimeout_ms;
    measuring = is_late ? Measuring::kNothing : measuring;
    return is_late ? Status::kNoVsync : Status::kWait;
  }
  const uint32_t now_us = micros(), count = NRF_TIMER3->CC[kAtFrame];
  asked_ms = millis();
  if (measuring == Measuring::kFirstFrame) {
    frame_begun_us = now_us;
    frame_begun_count = count;
    measuring = Measuring::kSecondFrame;
    return Status::kWait;
  }
  measuring = Measuring::kNothing;
  rates->frame_us = now_us - frame_begun_us;
  rates->lines = count - frame_begun_count;
  delay(2 * (kLinesOfFrame - kSensorHeight)); /* the lines before the first, and some of the image */
  if (!measure_lines(rates)) {
    return Status::kNoHref;
  }
  return measure_pixel_clock(rates) ? Status::kOk : Status::kNoHref;
}

}  // namespace ov7675
