/* Implements board.h: USB, clocks and the watchdog. */
#include <Arduino.h>
#include <nrf.h>
#include <string.h>

#include "src/board.h"
#include "src/config.h"

namespace {

/* Bytes to be sent to the PC. Serial.write would block if the PC stops reading. */
constexpr uint32_t kOutBytes = 1024;
uint8_t out[kOutBytes];
uint32_t out_count;

void send_pending() {
  while (out_count > 0) {
    uint32_t sent = 0;
    Serial.send_nb(out, out_count, &sent);
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

}  // namespace

extern "C" {

const char *board_name(void) { return "nano33ble"; }

uint32_t board_ms(void) { return millis(); }

uint32_t board_us(void) { return micros(); }

int32_t board_read_byte(void) {
  send_pending();
  return Serial.available() > 0 ? Serial.read() : -1;
}

bool board_write(const char *text, uint32_t count) {
  if (!Serial.connected()) {
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
  if (NRF_WDT->RUNSTATUS == 0) {
    NRF_WDT->CONFIG = kRunInSleep;
    NRF_WDT->CRV = static_cast<uint32_t>(static_cast<uint64_t>(WATCHDOG_MS) * kWatchdogClock_hz / 1000 - 1);
    NRF_WDT->RREN = 1;
    NRF_WDT->TASKS_START = 1;
  }
  NRF_WDT->RR[0] = kWatchdogReload;
}
}
