#include "host/generator/batch.hpp"

#include <tessera/ext/batch.h>

#include <algorithm>
#include <utility>

namespace tessera {
namespace {

template <class List, class Value>
bool holds(const List &list, const Value &value) {
    return std::find(list.begin(), list.end(), value) != list.end();
}

// The entries that one of the two lists claims, of at most `most`.
Result<std::uint32_t> checked_count(std::uint32_t count, std::size_t most, const char *what) {
    if (count <= most) return count;
    return make_error(Status::kInvalidArgument,
                      TESSERA_EXT_BATCH " claims {} {}; the generator has {}", count, what, most);
}

Result<std::vector<std::uint32_t>> read_params(const tessera_ext_batch &table,
                                               const tessera_generator &generator,
                                               const Params &params) {
    const auto count =
        checked_count(table.get_count(&generator), params.descriptions().size(), "parameters");
    if (!count) return count.error();
    std::vector<std::uint32_t> ids;
    for (std::uint32_t i = 0; i < *count; ++i) {
        const std::uint32_t id = table.get(&generator, i);
        const Param *const param = params.find(id);
        if (param == nullptr || param->has(TESSERA_PARAM_REACTIVATES)) {
            return make_error(Status::kInvalidArgument,
                              TESSERA_EXT_BATCH " names the parameter {}, which {}", id,
                              param == nullptr ? "there is not" : "takes effect at activation");
        }
        ids.push_back(id);
    }
    return ids;
}

Result<std::vector<std::string>> read_inputs(const tessera_ext_batch &table,
                                             const tessera_generator &generator,
                                             const std::vector<std::string> &inputs) {
    std::vector<std::string> keys;
    if (table.get_input_count == nullptr) return keys;
    const auto count = checked_count(table.get_input_count(&generator), inputs.size(), "inputs");
    if (!count) return count.error();
    for (std::uint32_t i = 0; i < *count; ++i) {
        const char *const key = table.get_input(&generator, i);
        if (key == nullptr || !holds(inputs, std::string_view(key))) {
            return make_error(Status::kInvalidArgument,
                              TESSERA_EXT_BATCH " names the input '{}', which there is not",
                              key != nullptr ? key : "");
        }
        keys.emplace_back(key);
    }
    return keys;
}

} // namespace

Result<Batch> read_batch(const tessera_generator &generator, const Params &params,
                         const std::vector<std::string> &inputs) {
    const auto *const table = static_cast<const tessera_ext_batch *>(
        generator.get_extension(&generator, TESSERA_EXT_BATCH));
    if (table == nullptr) return Batch();
    const bool has_one_of_two =
        (table->get_input_count == nullptr) != (table->get_input == nullptr);
    if (table->get_count == nullptr || table->get == nullptr || has_one_of_two) {
        return make_error(Status::kInvalidArgument, TESSERA_EXT_BATCH " lacks a function");
    }
    auto ids = read_params(*table, generator, params);
    if (!ids) return ids.error();
    auto keys = read_inputs(*table, generator, inputs);
    if (!keys) return keys.error();
    return Batch(BatchKeys{std::move(*ids), std::move(*keys)});
}

bool may_differ(const Batch &batch, const Param &param) {
    return batch && holds(batch->params, param.id);
}

bool may_differ(const Batch &batch, std::string_view input) {
    return batch && holds(batch->inputs, input);
}

} // namespace tessera
