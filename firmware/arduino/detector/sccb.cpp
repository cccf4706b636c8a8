#include "sccb.h"

#include <Arduino.h>
#include <nrf.h>

#include "pins.h"

namespace {

constexpr uint32_t kSda = 1u << pins::kSda;
constexpr uint32_t kScl = 1u << pins::kScl;
/* About 50 kHz, because the internal pull-ups are weak. */
constexpr unsigned int kHalfClock_us = 10;

/* A line is either driven low, or released and pulled up. */
uint32_t open_drain() {
  return (GPIO_PIN_CNF_DIR_Output << GPIO_PIN_CNF_DIR_Pos) | (GPIO_PIN_CNF_INPUT_Connect << GPIO_PIN_CNF_INPUT_Pos) |
         (GPIO_PIN_CNF_PULL_Pullup << GPIO_PIN_CNF_PULL_Pos) | (GPIO_PIN_CNF_DRIVE_S0D1 << GPIO_PIN_CNF_DRIVE_Pos);
}

void half_clock() { delayMicroseconds(kHalfClock_us); }
void release(uint32_t line) { NRF_P0->OUTSET = line; }
void pull_down(uint32_t line) { NRF_P0->OUTCLR = line; }

void begin_message() {
  release(kSda);
  release(kScl);
  half_clock();
  pull_down(kSda);
  half_clock();
  pull_down(kScl);
}

void end_message() {
  pull_down(kSda);
  half_clock();
  release(kScl);
  half_clock();
  release(kSda);
  half_clock();
}

bool clock_bit(bool out) {
  if (out) {
    release(kSda);
  } else {
    pull_down(kSda);
  }
  half_clock();
  release(kScl);
  half_clock();
  const bool in = (NRF_P0->IN & kSda) != 0;
  pull_down(kScl);
  return in;
}

/* Returns true if the sensor acknowledges. */
bool send_byte(uint8_t value) {
  for (int bit = 7; bit >= 0; bit--) {
    clock_bit((value >> bit & 1) != 0);
  }
  return !clock_bit(true);
}

uint8_t receive_byte() {
  unsigned int value = 0;
  for (int bit = 0; bit < 8; bit++) {
    value = value << 1 | (clock_bit(true) ? 1u : 0u);
  }
  clock_bit(true); /* the last byte is not acknowledged */
  return static_cast<uint8_t>(value);
}

}  // namespace

namespace sccb {

void begin() {
  release(kSda | kScl);
  NRF_P0->PIN_CNF[pins::kSda] = open_drain();
  NRF_P0->PIN_CNF[pins::kScl] = open_drain();
}

bool write(uint8_t device, uint8_t address, uint8_t value) {
  begin_message();
  const bool taken = send_byte(static_cast<uint8_t>(device << 1)) && send_byte(address) && send_byte(value);
  end_message();
  return taken;
}

bool read(uint8_t device, uint8_t address, uint8_t *value) {
  begin_message();
  const bool asked = send_byte(static_cast<uint8_t>(device << 1)) && send_byte(address);
  end_message(); /* SCCB has no repeated start */
  if (!asked) {
    return false;
  }
  begin_message();
  const bool answers = send_byte(static_cast<uint8_t>(device << 1 | 1));
  if (answers) {
    *value = receive_byte();
  }
  end_message();
  return answers;
}

}  // namespace sccb
