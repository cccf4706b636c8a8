/* Implements board.h: USB, clocks, the watchdog and the stack. */
#include <Arduino.h>
#include <USB/PluggableUSBSerial.h>
#include <nrf.h>
#include <string.h>

#include "board_nano33ble.h"
#include "src/board.h"
#include "src/config.h"
#include "watchdog.h"

namespace {

/* Bytes to be sent to the PC. A write that waits would stop the board if the PC stops reading. `Serial` has no other
 * kind: the calls that do not wait belong to the core's USB object. */
constexpr uint32_t kOutBytes = 1024;
uint8_t out[kOutBytes];
uint32_t out_count;

/* A packet of 64 bytes means that more follows, and the PC's driver waits for it. No packet is that long, so that an
 * answer of any length arrives at once. */
constexpr uint32_t kPacketBytes = 63;

void send_pending() {
  while (out_count > 0) {
    uint32_t sent = 0;
    _SerialUSB.send_nb(out, out_count < kPacketBytes ? out_count : kPacketBytes, &sent);
    if (sent == 0) {
      return;
    }
    out_count -= sent;
    memmove(out, out + sent, out_count);
  }
}

constexpr uint32_t kWatchdogClock_hz = 32768;
constexpr uint32_t kWatchdogReload = 0x6E524635;
constexpr uint32_t kRunInSleep = 1;
watchdog::Policy policy;

/* The part of the main thread's stack (32 KB) below setup() that is observed. */
constexpr uint32_t kObservedStack_bytes = 16384, kStackPattern = 0xC0FFEE11, kOwnFrame_bytes = 256;
const volatile uint32_t *stack_low, *stack_high;

bool is_watchdog_running() { return (NRF_WDT->RUNSTATUS & 1u) != 0; }

}  // namespace

void board_nano33ble_observe_stack() {
  uint8_t *const here = static_cast<uint8_t *>(__builtin_frame_address(0));
  volatile uint32_t *const high = reinterpret_cast<volatile uint32_t *>(here - kOwnFrame_bytes);
  volatile uint32_t *word = high - kObservedStack_bytes / sizeof *high;
  stack_low = word;
  stack_high = high;
  for (; word < high; word++) {
    *word = kStackPattern;
  }
}

extern "C" {

const char *board_name(void) { return "nano33ble"; }

uint32_t board_ms(void) { return millis(); }

uint32_t board_us(void) { return micros(); }

int32_t board_read_byte(void) {
  send_pending();
  return _SerialUSB.available() > 0 ? _SerialUSB.read() : -1;
}

bool board_write(const char *text, uint32_t count) {
  if (!_SerialUSB.connected()) {
    out_count = 0; /* do not send the rest of a line to the next PC */
    return false;
  }
  send_pending();
  if (count > kOutBytes - out_count) {
    return false;
  }
  memcpy(out + out_count, text, count);
  out_count += count;
  send_pending();
  return true;
}

void board_feed_watchdog(void) {
  switch (policy.next(is_watchdog_running(), PluggableUSBD().configured(), millis())) {
    case watchdog::Action::kStart:
      NRF_WDT->CONFIG = kRunInSleep;
      NRF_WDT->CRV = static_cast<uint32_t>(static_cast<uint64_t>(WATCHDOG_MS) * kWatchdogClock_hz / 1000 - 1);
      NRF_WDT->RREN = 1;
      NRF_WDT->TASKS_START = 1;
      break;
    case watchdog::Action::kFeed:
      NRF_WDT->RR[0] = kWatchdogReload;
      break;
    case watchdog::Action::kNothing:
      break;
  }
}

void board_restart(void) { NVIC_SystemReset(); }

board_facts board_read_facts(void) {
  const volatile uint32_t *word = stack_low;
  while (word < stack_high && *word == kStackPattern) {
    word++;
  }
  board_facts facts;
  facts.instruction_cache = static_cast<int32_t>(NRF_NVMC->ICACHECNF & NVMC_ICACHECNF_CACHEEN_Msk);
  facts.watchdog = is_watchdog_running() ? 1 : 0;
  facts.stack_bytes = static_cast<int32_t>(kObservedStack_bytes);
  facts.stack_used_bytes = static_cast<int32_t>((stack_high - word) * static_cast<int32_t>(sizeof *word));
  return facts;
}
}
