/* Parses and runs the commands of firmware/PROTOCOL.md. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "detector.h"
#include "line.h"

/* Reads the bytes received on the serial line and runs each complete line. Reads nothing while the detector does not
 * accept commands. */
void commands_poll(line *in, detector *self);

#endif
