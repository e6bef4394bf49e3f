#include "host/generator/batch.hpp"

#include <tessera/ext/batch.h>

#include <algorithm>

namespace tessera {

Result<BatchParams> read_batch(const tessera_generator &generator, const Params &params) {
    const auto *const table = static_cast<const tessera_ext_batch *>(
        generator.get_extension(&generator, TESSERA_EXT_BATCH));
    if (table == nullptr) return BatchParams();
    if (table->get_count == nullptr || table->get == nullptr) {
        return make_error(Status::kInvalidArgument, TESSERA_EXT_BATCH " lacks a function");
    }
    const std::uint32_t count = table->get_count(&generator);
    const std::size_t most = params.descriptions().size();
    if (count > most) {
        return make_error(Status::kInvalidArgument,
                          TESSERA_EXT_BATCH " claims {} parameters; the generator has {}", count,
                          most);
    }
    BatchParams batch(std::in_place);
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t id = table->get(&generator, i);
        const Param *const param = params.find(id);
        if (param == nullptr || param->has(TESSERA_PARAM_REACTIVATES)) {
            return make_error(Status::kInvalidArgument,
                              TESSERA_EXT_BATCH " names the parameter {}, which {}", id,
                              param == nullptr ? "there is not" : "takes effect at activation");
        }
        batch->push_back(id);
    }
    return batch;
}

bool may_differ(const BatchParams &batch, const Param &param) {
    return batch && std::find(batch->begin(), batch->end(), param.id) != batch->end();
}

} // namespace tessera
