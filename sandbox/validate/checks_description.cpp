// What a plugin says of itself: descriptors, instances, parameters, inputs, features.
#include "host/generator/batch.hpp"
#include "sandbox/validate/subject.hpp"

#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>
#include <tessera/ext/params.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>

namespace tessera::validate {
namespace {

constexpr std::uint32_t kMaxGenerators = 256;

const char *text_of(const char *text) { return text != nullptr ? text : ""; }

std::string id_of(const Plugin &plugin, const Options &options) {
    return options.id.empty() ? plugin.first_id() : options.id;
}

const tessera_descriptor &descriptor_of(const Plugin &plugin, const Options &options) {
    const auto &factory = plugin.factory();
    for (std::uint32_t i = 0; i < factory.get_count(); ++i) {
        const tessera_descriptor *const descriptor = factory.get_descriptor(i);
        if (descriptor != nullptr && id_of(plugin, options) == text_of(descriptor->id)) {
            return *descriptor;
        }
    }
    skip("the library has no generator '{}'", options.id);
}

void count(const Options &options) {
    const Plugin plugin(options);
    const std::uint32_t generators = plugin.factory().get_count();
    if (generators == 0 || generators > kMaxGenerators) {
        fail("claims {} generators; expected 1 to {}", generators, kMaxGenerators);
    }
    (void)descriptor_of(plugin, options);
}

void fields(const Options &options) {
    const Plugin plugin(options);
    auto read = read_descriptor(&descriptor_of(plugin, options));
    if (!read) fail("{}", read.error().message);
}

void id_form(const Options &options) {
    const Plugin plugin(options);
    const std::string id = descriptor_of(plugin, options).id;
    const bool is_plain = std::all_of(id.begin(), id.end(), [](unsigned char c) {
        return std::islower(c) || std::isdigit(c) || c == '.' || c == '-' || c == '_';
    });
    if (!is_plain || id.find('.') == std::string::npos || id.front() == '.' || id.back() == '.') {
        fail("the id '{}' is no reverse domain in lower case, like org.example.name", id);
    }
}

void version_form(const Options &options) {
    const Plugin plugin(options);
    const std::string version = text_of(descriptor_of(plugin, options).version);
    int numbers[3];
    int used = 0;
    if (std::sscanf(version.c_str(), "%d.%d.%d%n", &numbers[0], &numbers[1], &numbers[2], &used) !=
        3) {
        warn("the version '{}' is no semantic version, like 1.0.0", version);
    }
}

void ids_differ(const Options &options) {
    const Plugin plugin(options);
    std::set<std::string> ids;
    for (std::uint32_t i = 0; i < plugin.factory().get_count(); ++i) {
        const tessera_descriptor *const descriptor = plugin.factory().get_descriptor(i);
        if (descriptor == nullptr) fail("descriptor {} is NULL", i);
        if (!ids.insert(text_of(descriptor->id)).second) {
            fail("two generators have the id '{}'", text_of(descriptor->id));
        }
    }
}

void out_of_range(const Options &options) {
    const Plugin plugin(options);
    const auto &factory = plugin.factory();
    for (const std::uint32_t index : {factory.get_count(), UINT32_MAX}) {
        if (factory.get_descriptor(index) != nullptr) fail("there is a descriptor {}", index);
    }
}

void descriptor_stable(const Options &options) {
    const Plugin plugin(options);
    const auto first = read_descriptor(&descriptor_of(plugin, options));
    const auto again = read_descriptor(&descriptor_of(plugin, options));
    if (first && again &&
        (first->name != again->name || first->version != again->version ||
         first->description != again->description)) {
        fail("the descriptor changes from one call to the next");
    }
}

void makes(const Options &options) {
    const Plugin plugin(options);
    const std::string id = id_of(plugin, options);
    const tessera_creation creation{sizeof creation, 0,
                                    options.model.empty() ? nullptr : options.model.c_str()};
    std::string error;
    const tessera_generator *made = nullptr;
    (void)guarded_call("create", error, [&] {
        made = plugin.factory().create(plugin.host(), id.c_str(), &creation);
        return TESSERA_OK;
    });
    if (made == nullptr) fail("create gives NULL: {}", error);
    if (made->init == nullptr || made->destroy == nullptr || made->activate == nullptr ||
        made->deactivate == nullptr || made->begin == nullptr || made->step == nullptr ||
        made->end == nullptr || made->get_extension == nullptr) {
        fail("the table of the instance lacks a function");
    }
    if (made->descriptor == nullptr || id != text_of(made->descriptor->id)) {
        fail("the instance says it is '{}'",
             made->descriptor != nullptr ? text_of(made->descriptor->id) : "(no descriptor)");
    }
    const tessera_status status = guarded_call("init", error, [&] { return made->init(made); });
    const bool fails = status != TESSERA_OK;
    made->destroy(made);
    if (fails) {
        check_status("init", status, error);
        fail("init answers {}: {}", status, error);
    }
}

void unknown_id(const Options &options) {
    const Plugin plugin(options);
    const tessera_creation creation{sizeof creation, 0, nullptr};
    std::string error;
    const tessera_generator *made = nullptr;
    (void)guarded_call("create", error, [&] {
        made = plugin.factory().create(plugin.host(), "org.example.nobody", &creation);
        return TESSERA_OK;
    });
    if (made != nullptr) fail("create makes a generator for an id that it does not have");
    if (error.empty()) warn("create gives NULL for an unknown id and logs no reason");
}

void two_instances(const Options &options) {
    const Plugin plugin(options);
    const Instance one(plugin, options);
    const Instance two(plugin, options);
    if (one.table() == two.table()) fail("create gives the same instance twice");
}

void missing_model(const Options &options) {
    if (options.model.empty()) skip("no model is given (--model)");
    Options other = options;
    other.model = "/nonexistent/model.safetensors";
    const Plugin plugin(options);
    std::string text;
    try {
        const Instance instance(plugin, other);
    } catch (const Finding &finding) {
        text = finding.outcome.text;
    }
    if (text.empty()) fail("a model file that does not exist is taken");
    if (text.find("nonexistent") == std::string::npos) {
        fail("a model file that does not exist is not named: {}", text);
    }
}

void params_readable(const Options &options) {
    const Plugin plugin(options);
    const Instance instance(plugin, options); // reads them
}

void params_stable(const Options &options) {
    const Plugin plugin(options);
    Instance instance(plugin, options);
    auto again = Params::read(*instance.table());
    if (!again) fail("read again: {}", again.error().message);
    again->reset();
    instance.params().reset();
    if (again->to_json() != instance.params().to_json()) {
        fail("the descriptions change from one reading to the next");
    }
}

void params_help(const Options &options) {
    const Plugin plugin(options);
    Instance instance(plugin, options);
    for (const Param &param : instance.params().descriptions()) {
        if (param.help.empty() && !param.has(TESSERA_PARAM_HIDDEN)) {
            warn("the parameter '{}' has no help", param.key);
        }
    }
}

// Count and entries of a table of `get_count` and `get`, each entry looked at.
template <class Extension, class Look>
void each_entry(const Options &options, const char *id, const Look &look) {
    const Plugin plugin(options);
    const Instance instance(plugin, options);
    const auto *const table =
        static_cast<const Extension *>(instance.table()->get_extension(instance.table(), id));
    if (table == nullptr) skip("has no {}", id);
    if (table->get_count == nullptr || table->get == nullptr) fail("{} lacks a function", id);
    const std::uint32_t entries = table->get_count(instance.table());
    if (entries > 1024) fail("{} claims {} entries", id, entries);
    std::set<std::string> keys;
    for (std::uint32_t i = 0; i < entries; ++i) {
        const auto *const entry = table->get(instance.table(), i);
        if (entry == nullptr) fail("{}: entry {} is NULL", id, i);
        const std::string key = look(*entry);
        if (key.empty()) fail("{}: entry {} has no key", id, i);
        if (!keys.insert(key).second) fail("{}: '{}' is there twice", id, key);
    }
    if (table->get(instance.table(), entries) != nullptr) {
        fail("{}: there is an entry {} of {}", id, entries, entries);
    }
}

void inputs_readable(const Options &options) {
    each_entry<tessera_ext_inputs>(options, TESSERA_EXT_INPUTS, [](const tessera_input_slot &slot) {
        if (slot.type < TESSERA_INPUT_TYPE_RGBA8 || slot.type > TESSERA_INPUT_TYPE_F32) {
            fail("the input '{}' has the unknown type {}", text_of(slot.key), slot.type);
        }
        return std::string(text_of(slot.key));
    });
}

void features_readable(const Options &options) {
    each_entry<tessera_ext_features>(
        options, TESSERA_EXT_FEATURES, [](const tessera_feature &feature) {
            if (feature.rank > TESSERA_MAX_RANK) {
                fail("the feature '{}' has rank {}", text_of(feature.name), feature.rank);
            }
            return std::string(text_of(feature.name));
        });
}

void batch_readable(const Options &options) {
    const Plugin plugin(options);
    Instance instance(plugin, options);
    const auto batch = read_batch(*instance.table(), instance.params(), instance.input_keys());
    if (!batch) fail("{}", batch.error().message);
    if (!*batch) skip("has no " TESSERA_EXT_BATCH);
}

void unknown_extension(const Options &options) {
    const Plugin plugin(options);
    const Instance instance(plugin, options);
    if (instance.table()->get_extension(instance.table(), "tessera.no-such-extension/9") !=
        nullptr) {
        fail("get_extension gives something for an unknown id");
    }
}

constexpr Check kChecks[] = {
    {"descriptor.count", "It has 1 to 256 generators.", {"library.opens"}, count},
    {"descriptor.fields", "id, name, vendor and version are there.", {"descriptor.count"}, fields},
    {"descriptor.id-form", "The id is a reverse domain.", {"descriptor.fields"}, id_form},
    {"descriptor.version-form", "The version is semantic.", {"descriptor.fields"}, version_form},
    {"descriptor.ids-differ", "No two share an id.", {"descriptor.count"}, ids_differ},
    {"descriptor.out-of-range", "None beyond the last.", {"descriptor.count"}, out_of_range},
    {"descriptor.stable", "It says the same twice.", {"descriptor.fields"}, descriptor_stable},
    {"create.makes", "An instance is made whole and initialises.", {"descriptor.fields"}, makes},
    {"create.unknown-id", "An unknown id gives NULL and why.", {"descriptor.count"}, unknown_id},
    {"params.readable", "Parameters without a mistake.", {"create.makes"}, params_readable},
    {"params.stable", "Parameters are the same twice.", {"params.readable"}, params_stable},
    {"params.help", "Every parameter says what it does.", {"params.readable"}, params_help},
    {"create.two", "Two instances next to each other.", {"params.readable"}, two_instances},
    {"create.missing-model",
     "A model that is not there is named.",
     {"params.readable"},
     missing_model},
    {"inputs.readable", "Inputs without a mistake.", {"params.readable"}, inputs_readable},
    {"features.readable", "Features without a mistake.", {"params.readable"}, features_readable},
    {"batch.readable",
     "What may differ in a batch are parameters.",
     {"params.readable"},
     batch_readable},
    {"forward.unknown-extension",
     "An unknown extension is NULL.",
     {"params.readable"},
     unknown_extension},
};

} // namespace

std::span<const Check> description_checks() { return kChecks; }

} // namespace tessera::validate
