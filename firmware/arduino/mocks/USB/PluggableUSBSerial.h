/* Declarations of the core's USB objects, as the core has them.
 *
 * Read from arduino/ArduinoCore-mbed 4.6.0: USBDevice: cores/arduino/mbed/drivers/usb/include/usb/internal/USBDevice.h.
 * PluggableUSBDevice: cores/arduino/USB/PluggableUSBDevice.h. USBCDC: cores/arduino/USB/USBCDC.h. USBSerial,
 * _SerialUSB: cores/arduino/USB/PluggableUSBSerial.h. */
#ifndef MOCK_PLUGGABLE_USB_SERIAL_H
#define MOCK_PLUGGABLE_USB_SERIAL_H

#include "Arduino.h"

class USBDevice {
 public:
  bool configured();
};

namespace arduino {

class PluggableUSBDevice : public USBDevice {
 public:
  void begin();
};

class USBCDC {
 public:
  bool ready();
  void wait_ready();
  bool send(uint8_t *buffer, uint32_t size);
  void send_nb(uint8_t *buffer, uint32_t size, uint32_t *actual, bool now = true);
  bool receive(uint8_t *buffer, uint32_t size, uint32_t *actual = NULL);
  void receive_nb(uint8_t *buffer, uint32_t size, uint32_t *actual);
};

class USBSerial : public USBCDC, public HardwareSerial {
 public:
  bool connected();
  void begin(unsigned long);
  void begin(unsigned long baudrate, uint16_t config);
  void end();
  int available(void);
  int peek(void);
  int read(void);
  void flush(void);
  size_t write(uint8_t c);
  size_t write(const uint8_t *buf, size_t size);
  using Print::write;
  operator bool();
};

}  // namespace arduino

extern arduino::USBSerial _SerialUSB;
arduino::PluggableUSBDevice &PluggableUSBD();

#endif
