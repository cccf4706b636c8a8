/* Declarations of the nRF52840 registers that the sketch uses, with Nordic's names, addresses and offsets.
 *
 * Read from nrf52840.h and nrf52840_bitfields.h of nrfx/mdk in arduino/ArduinoCore-mbed 4.6.0
 * (cores/arduino/mbed/targets/TARGET_NORDIC/TARGET_NRF5x/TARGET_SDK_15_0/modules/nrfx/mdk), and the three functions
 * from CMSIS 5's cmsis_gcc.h and core_cm4.h. */
#ifndef MOCK_NRF_H
#define MOCK_NRF_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  volatile uint32_t RESERVED0[321];
  volatile uint32_t OUT;
  volatile uint32_t OUTSET;
  volatile uint32_t OUTCLR;
  volatile const uint32_t IN;
  volatile uint32_t DIR;
  volatile uint32_t DIRSET;
  volatile uint32_t DIRCLR;
  volatile uint32_t LATCH;
  volatile uint32_t DETECTMODE;
  volatile uint32_t RESERVED1[118];
  volatile uint32_t PIN_CNF[32];
} NRF_GPIO_Type;
static_assert(offsetof(NRF_GPIO_Type, IN) == 0x510 && offsetof(NRF_GPIO_Type, PIN_CNF) == 0x700, "as specified");

#define GPIO_PIN_CNF_DIR_Pos (0UL)
#define GPIO_PIN_CNF_DIR_Input (0UL)
#define GPIO_PIN_CNF_DIR_Output (1UL)
#define GPIO_PIN_CNF_INPUT_Pos (1UL)
#define GPIO_PIN_CNF_INPUT_Connect (0UL)
#define GPIO_PIN_CNF_INPUT_Disconnect (1UL)
#define GPIO_PIN_CNF_PULL_Pos (2UL)
#define GPIO_PIN_CNF_PULL_Pulldown (1UL)
#define GPIO_PIN_CNF_PULL_Pullup (3UL)
#define GPIO_PIN_CNF_DRIVE_Pos (8UL)
#define GPIO_PIN_CNF_DRIVE_S0D1 (6UL)

typedef struct {
  volatile uint32_t TASKS_START;
  volatile uint32_t TASKS_STOP;
  volatile uint32_t TASKS_COUNT;
  volatile uint32_t TASKS_CLEAR;
  volatile uint32_t TASKS_SHUTDOWN;
  volatile uint32_t RESERVED0[11];
  volatile uint32_t TASKS_CAPTURE[6];
  volatile uint32_t RESERVED1[58];
  volatile uint32_t EVENTS_COMPARE[6];
  volatile uint32_t RESERVED2[42];
  volatile uint32_t SHORTS;
  volatile uint32_t RESERVED3[64];
  volatile uint32_t INTENSET;
  volatile uint32_t INTENCLR;
  volatile uint32_t RESERVED4[126];
  volatile uint32_t MODE;
  volatile uint32_t BITMODE;
  volatile uint32_t RESERVED5;
  volatile uint32_t PRESCALER;
  volatile uint32_t RESERVED6[11];
  volatile uint32_t CC[6];
} NRF_TIMER_Type;
static_assert(offsetof(NRF_TIMER_Type, TASKS_CAPTURE) == 0x040 && offsetof(NRF_TIMER_Type, MODE) == 0x504 &&
                  offsetof(NRF_TIMER_Type, CC) == 0x540,
              "as specified");

#define TIMER_MODE_MODE_Pos (0UL)
#define TIMER_MODE_MODE_Counter (1UL)
#define TIMER_BITMODE_BITMODE_Pos (0UL)
#define TIMER_BITMODE_BITMODE_32Bit (3UL)

typedef struct {
  volatile uint32_t TASKS_OUT[8];
  volatile uint32_t RESERVED0[4];
  volatile uint32_t TASKS_SET[8];
  volatile uint32_t RESERVED1[4];
  volatile uint32_t TASKS_CLR[8];
  volatile uint32_t RESERVED2[32];
  volatile uint32_t EVENTS_IN[8];
  volatile uint32_t RESERVED3[23];
  volatile uint32_t EVENTS_PORT;
  volatile uint32_t RESERVED4[97];
  volatile uint32_t INTENSET;
  volatile uint32_t INTENCLR;
  volatile uint32_t RESERVED5[129];
  volatile uint32_t CONFIG[8];
} NRF_GPIOTE_Type;
static_assert(offsetof(NRF_GPIOTE_Type, EVENTS_IN) == 0x100 && offsetof(NRF_GPIOTE_Type, CONFIG) == 0x510,
              "as specified");

#define GPIOTE_CONFIG_MODE_Pos (0UL)
#define GPIOTE_CONFIG_MODE_Event (1UL)
#define GPIOTE_CONFIG_PSEL_Pos (8UL)
#define GPIOTE_CONFIG_POLARITY_Pos (16UL)
#define GPIOTE_CONFIG_POLARITY_LoToHi (1UL)
#define GPIOTE_CONFIG_POLARITY_HiToLo (2UL)

typedef struct {
  volatile uint32_t EEP;
  volatile uint32_t TEP;
} PPI_CH_Type;
typedef struct {
  volatile uint32_t TASKS_CHG[12];
  volatile uint32_t RESERVED0[308];
  volatile uint32_t CHEN;
  volatile uint32_t CHENSET;
  volatile uint32_t CHENCLR;
  volatile uint32_t RESERVED1;
  PPI_CH_Type CH[20];
} NRF_PPI_Type;
static_assert(offsetof(NRF_PPI_Type, CHENSET) == 0x504 && offsetof(NRF_PPI_Type, CH) == 0x510, "as specified");

typedef struct {
  volatile uint32_t MODE;
  volatile uint32_t RXEN;
  volatile uint32_t TXEN;
  volatile uint32_t MCKEN;
  volatile uint32_t MCKFREQ;
  volatile uint32_t RATIO;
  volatile uint32_t SWIDTH;
  volatile uint32_t ALIGN;
  volatile uint32_t FORMAT;
  volatile uint32_t CHANNELS;
} I2S_CONFIG_Type;
typedef struct {
  volatile uint32_t MCK;
  volatile uint32_t SCK;
  volatile uint32_t LRCK;
  volatile uint32_t SDIN;
  volatile uint32_t SDOUT;
} I2S_PSEL_Type;
typedef struct {
  volatile uint32_t TASKS_START;
  volatile uint32_t TASKS_STOP;
  volatile uint32_t RESERVED0[318];
  volatile uint32_t ENABLE;
  I2S_CONFIG_Type CONFIG;
  volatile uint32_t RESERVED1[13];
  I2S_PSEL_Type PSEL;
} NRF_I2S_Type;
static_assert(offsetof(NRF_I2S_Type, ENABLE) == 0x500 && offsetof(NRF_I2S_Type, CONFIG) == 0x504 &&
                  offsetof(NRF_I2S_Type, PSEL) == 0x560,
              "as specified");

typedef struct {
  volatile uint32_t TASKS_START;
  volatile uint32_t RESERVED0[63];
  volatile uint32_t EVENTS_TIMEOUT;
  volatile uint32_t RESERVED1[128];
  volatile uint32_t INTENSET;
  volatile uint32_t INTENCLR;
  volatile uint32_t RESERVED2[61];
  volatile uint32_t RUNSTATUS;
  volatile uint32_t REQSTATUS;
  volatile uint32_t RESERVED3[63];
  volatile uint32_t CRV;
  volatile uint32_t RREN;
  volatile uint32_t CONFIG;
  volatile uint32_t RESERVED4[60];
  volatile uint32_t RR[8];
} NRF_WDT_Type;
static_assert(offsetof(NRF_WDT_Type, RUNSTATUS) == 0x400 && offsetof(NRF_WDT_Type, CRV) == 0x504 &&
                  offsetof(NRF_WDT_Type, RR) == 0x600,
              "as specified");

typedef struct {
  volatile uint32_t RESERVED0[256];
  volatile const uint32_t READY;
  volatile uint32_t RESERVED1[64];
  volatile uint32_t CONFIG;
  volatile uint32_t RESERVED2[14];
  volatile uint32_t ICACHECNF;
} NRF_NVMC_Type;
static_assert(offsetof(NRF_NVMC_Type, CONFIG) == 0x504 && offsetof(NRF_NVMC_Type, ICACHECNF) == 0x540, "as specified");

#define NVMC_ICACHECNF_CACHEEN_Pos (0UL)
#define NVMC_ICACHECNF_CACHEEN_Msk (0x1UL << NVMC_ICACHECNF_CACHEEN_Pos)
#define NVMC_ICACHECNF_CACHEEN_Enabled (1UL)

#define NRF_GPIOTE ((NRF_GPIOTE_Type *)0x40006000UL)
#define NRF_WDT ((NRF_WDT_Type *)0x40010000UL)
#define NRF_TIMER3 ((NRF_TIMER_Type *)0x4001A000UL)
#define NRF_NVMC ((NRF_NVMC_Type *)0x4001E000UL)
#define NRF_PPI ((NRF_PPI_Type *)0x4001F000UL)
#define NRF_I2S ((NRF_I2S_Type *)0x40025000UL)
#define NRF_P0 ((NRF_GPIO_Type *)0x50000000UL)
#define NRF_P1 ((NRF_GPIO_Type *)0x50000300UL)

extern "C" {
void __enable_irq(void);
void __disable_irq(void);
__attribute__((noreturn)) void __NVIC_SystemReset(void);
}
#define NVIC_SystemReset __NVIC_SystemReset

#endif
