/* Implements camera.h with the OV7675. */
#include "ov7675.h"
#include "src/camera.h"

namespace {

ov7675::Status last_fault = ov7675::Status::kOk;

camera_status to_camera_status(ov7675::Status status) {
  switch (status) {
    case ov7675::Status::kOk:
      return CAMERA_OK;
    case ov7675::Status::kWait:
      return CAMERA_WAIT;
    default:
      last_fault = status;
      return CAMERA_FAILED;
  }
}

}  // namespace

extern "C" {

camera_status camera_open(void) { return to_camera_status(ov7675::open()); }

camera_status camera_start_frame(bool color_bars) { return to_camera_status(ov7675::start(color_bars)); }

camera_status camera_read_row(int32_t y, uint8_t *row) { return to_camera_status(ov7675::read_row(y, row)); }

uint32_t camera_lines_lost(void) { return ov7675::lines_lost(); }

bool camera_lock(bool wanted) { return ov7675::lock(wanted) == ov7675::Status::kOk; }

int32_t camera_register_count(void) { return ov7675::register_count(); }

bool camera_read_register(int32_t place, camera_register *value) {
  ov7675::RegisterValue read;
  if (!ov7675::read_register(place, &read)) {
    return false;
  }
  *value = {read.address, read.expected, read.read};
  return true;
}

camera_status camera_measure(camera_rates *rates) {
  ov7675::Rates seen = {};
  const camera_status status = to_camera_status(ov7675::measure(&seen));
  *rates = {seen.pixel_clock_hz, seen.line_ns, seen.frame_us, seen.lines};
  return status;
}

camera_rates camera_documented_rates(void) {
  const ov7675::Rates rates = ov7675::documented_rates();
  return {rates.pixel_clock_hz, rates.line_ns, rates.frame_us, rates.lines};
}

const char *camera_error_text(void) { return ov7675::describe(last_fault); }
}
