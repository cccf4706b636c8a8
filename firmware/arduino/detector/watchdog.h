/* When the watchdog runs. It cannot be stopped, it also runs through a reset by software, and the boot loader does not
 * feed it: a watchdog that runs would reset the board in the middle of an upload. It therefore starts only after a time
 * without a PC. If a PC comes later, the board no longer feeds it: it resets the board once, which also stops it,
 * before an upload can begin. */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <stdint.h>

namespace watchdog {

constexpr uint32_t kAlone_ms = 15000; /* a PC that is present has configured USB by then */

enum class Action : uint8_t { kNothing, kStart, kFeed };

class Policy {
 public:
  /* Call it often. `has_pc`: a PC has configured the board's USB. */
  Action next(bool is_running, bool has_pc, uint32_t now_ms) {
    if (has_pc) {
      has_met_pc_ = true;
      return Action::kNothing;
    }
    if (is_running) {
      return has_met_pc_ ? Action::kNothing : Action::kFeed;
    }
    return !has_met_pc_ && now_ms >= kAlone_ms ? Action::kStart : Action::kNothing;
  }

 private:
  bool has_met_pc_ = false;
};

}  // namespace watchdog

#endif
