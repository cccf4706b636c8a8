#include "application.h"

#include "board.h"
#include "commands.h"
#include "detector.h"
#include "line.h"

static detector the_detector;
static line commands_in;

void application_begin(void) {
  line_init(&commands_in);
  detector_init(&the_detector);
  messages_out_send_hello(&the_detector.out);
}

void application_step(void) {
  if (!messages_out_flush(&the_detector.out)) {
    detector_cancel_command(&the_detector);
  }
  commands_poll(&commands_in, &the_detector);
  detector_step(&the_detector);
  if (the_detector.stage != STAGE_RESTART) {
    board_feed_watchdog();
  }
}
