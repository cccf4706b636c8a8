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

const char *camera_error_text(void) { return ov7675::describe(last_fault); }
}
