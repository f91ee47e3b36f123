/* iq_grids_int.h - the patterns of the i-quants, facts of the format. Private to the room.
 *
 * iq2_*  eight codes of 2 bits, element 0 lowest, for the magnitudes 8, 25, 43
 * iq3_*  four codes of 3 bits, element 0 lowest (their levels: dequant_iq.c)
 * iq1_s  eight codes of 2 bits, element 0 lowest, for -1, 0, 1
 */
#ifndef CURLEW_MODEL_IQ_GRIDS_INT_H
#define CURLEW_MODEL_IQ_GRIDS_INT_H

#include <stdint.h>

extern const uint16_t iq2_xxs_grid[256];
extern const uint16_t iq2_xs_grid[512];
extern const uint16_t iq2_s_grid[1024];
extern const uint16_t iq3_xxs_grid[256];
extern const uint16_t iq3_s_grid[512];
extern const uint16_t iq1_s_grid[2048];

#endif
