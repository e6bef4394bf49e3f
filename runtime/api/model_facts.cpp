#include "api/model_facts.hpp"

#include "host/canvas/canvas.hpp"
#include "host/generator/abilities.hpp"
#include "host/generator/json_end.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace tessera::api {
namespace {

// The contract's own struct, for programs that draw a panel.
tessera_param c_param(const Param &param, const std::vector<const char *> &labels) {
    tessera_param c{};
    c.struct_size = sizeof c;
    c.id = param.id;
    c.key = param.key.c_str();
    c.type = static_cast<tessera_param_type>(param.type);
    c.flags = param.flags;
    c.name = param.name.c_str();
    c.group = param.group.c_str();
    c.unit = param.unit.c_str();
    c.help = param.help.c_str();
    c.min = param.min;
    c.max = param.max;
    c.initial = param.initial;
    c.step = param.step;
    c.labels = labels.data();
    c.label_count = static_cast<std::uint32_t>(labels.size());
    c.initial_text = param.initial_text.c_str();
    return c;
}

tessera_input_slot c_input(const InputSlot &slot) {
    tessera_input_slot c{};
    c.struct_size = sizeof c;
    c.type = slot.type;
    c.key = slot.key.c_str();
    c.name = slot.name.c_str();
    c.help = slot.help.c_str();
    c.width = slot.width;
    c.height = slot.height;
    c.cell_columns = slot.cell_columns;
    c.cell_rows = slot.cell_rows;
    c.flags = slot.follows_size ? TESSERA_INPUT_FOLLOWS_SIZE : 0;
    return c;
}

std::uint32_t c_abilities(const Session &session) {
    const Abilities can = abilities_of(session.inputs(), session.params());
    std::uint32_t bits = 0;
    const auto add = [&](bool can_it, std::uint32_t bit) { bits |= can_it ? bit : 0; };
    add(can.completes, TESSERA_CAN_COMPLETE);
    add(can.starts, TESSERA_CAN_START);
    add(can.styles, TESSERA_CAN_STYLE);
    add(can.reconstructs, TESSERA_CAN_RECONSTRUCT);
    add(can.encodes, TESSERA_CAN_ENCODE);
    return bits;
}

// With the windows that the initial values make.
void set_max_side(ModelFacts &facts, const Session &session) {
    facts.max_side = std::max(facts.width, facts.height);
    if (facts.sizes) {
        const Param *const width = facts.params.find(TESSERA_KEY_WIDTH);
        facts.max_side = static_cast<std::uint32_t>(width->max);
    }
    const auto canvas = Canvas::create(facts.inputs, session.features(), 0);
    if (!canvas) return;
    facts.abilities |= TESSERA_CAN_EXTEND;
    const auto tiles = static_cast<std::uint32_t>(Canvas::kMostTiles);
    const std::uint32_t plane = std::min(kMaxImageSide, tiles * canvas->tile_pixels());
    facts.max_side = std::max(facts.max_side, plane);
}

// Of a picture unless a texture says otherwise.
void set_native_size(ModelFacts &facts) {
    const Param *const width = facts.params.find(TESSERA_KEY_WIDTH);
    const Param *const height = facts.params.find(TESSERA_KEY_HEIGHT);
    if (width != nullptr && height != nullptr) {
        facts.sizes = true;
        facts.width = static_cast<std::uint32_t>(width->initial);
        facts.height = static_cast<std::uint32_t>(height->initial);
        return;
    }
    if (const InputSlot *const image = find_slot(facts.inputs, TESSERA_INPUT_IMAGE)) {
        facts.width = image->width;
        facts.height = image->height;
    }
}

} // namespace

std::uint64_t tensor_bytes(const WeightSet &weights) {
    std::uint64_t bytes = 0;
    for (const SafetensorsEntry &entry : weights.header().entries) bytes += entry.end - entry.begin;
    return bytes;
}

std::string metadata_json(const WeightSet &weights) {
    nlohmann::json texts = nlohmann::json::object();
    const JsonEnd end(texts);
    for (const auto &[key, text] : weights.header().metadata) texts[key] = text;
    return texts.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::unique_ptr<const ModelFacts> facts_of(const Session &session, const WeightSet *weights) {
    auto facts = std::make_unique<ModelFacts>();
    facts->plugin = session.info().id;
    facts->name = session.info().name;
    facts->path = session.info().model;
    facts->params = session.params();
    facts->inputs = session.inputs();
    facts->batch = session.batch();
    facts->bytes = weights != nullptr ? tensor_bytes(*weights) : 0;
    facts->metadata = weights != nullptr ? metadata_json(*weights) : "{}";
    facts->abilities = c_abilities(session);
    for (const Param &param : facts->params.descriptions()) {
        std::vector<const char *> labels;
        for (const std::string &label : param.labels) labels.push_back(label.c_str());
        facts->labels.push_back(std::move(labels));
    }
    for (std::size_t i = 0; i < facts->labels.size(); ++i) {
        facts->c_params.push_back(c_param(facts->params.descriptions()[i], facts->labels[i]));
    }
    for (const InputSlot &slot : facts->inputs) facts->c_inputs.push_back(c_input(slot));
    set_native_size(*facts);
    set_max_side(*facts, session);
    return facts;
}

bool same_facts(const ModelFacts &a, const ModelFacts &b) {
    const auto mine = a.params.descriptions(), theirs = b.params.descriptions();
    return a.width == b.width && a.height == b.height && a.abilities == b.abilities &&
           a.inputs == b.inputs && a.batch == b.batch && a.metadata == b.metadata &&
           std::equal(mine.begin(), mine.end(), theirs.begin(), theirs.end());
}

} // namespace tessera::api
