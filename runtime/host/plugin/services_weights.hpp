// The host extension tessera.weights/1 over the weight cache.
#pragma once

#include <tessera/ext/weights.h>

namespace tessera {

[[nodiscard]] const tessera_ext_weights &weights_extension();

} // namespace tessera
