/* The whole contract between runtime and plugins: include this, or the headers one by one.
 *
 * A generator plugin in four parts (plugins/gradient_c is one in 160 lines of C):
 *   entry.h       the symbol that the library exports, and the factory that makes instances
 *   generator.h   the instance: activated on a device, begins jobs, steps them, sends pictures
 *   compute.h     that device: tensors and the operations on them
 *   ext/          what goes beyond: parameters, inputs and features of a generator; weights, clock
 *                 and threads of the host; more operations of a compute
 *
 * Headers in ext/draft are not part of it: they may change or go in any version.
 */
#ifndef TESSERA_TESSERA_H
#define TESSERA_TESSERA_H

#include <tessera/base.h>
#include <tessera/compute.h>
#include <tessera/entry.h>
#include <tessera/generator.h>
#include <tessera/host.h>
#include <tessera/version.h>

#include <tessera/ext/batch.h>
#include <tessera/ext/clock.h>
#include <tessera/ext/compute_graph.h>
#include <tessera/ext/cuda.h>
#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>
#include <tessera/ext/parallel.h>
#include <tessera/ext/params.h>
#include <tessera/ext/thread_check.h>
#include <tessera/ext/vulkan.h>
#include <tessera/ext/weights.h>

#endif
