// Which noise levels a run passes through.
#include "texture/level_plan.hpp"

#include <algorithm>

namespace tessera::texture {

LevelPlan::LevelPlan(int sets, int levels, const std::string &hurry) {
    for (int set = 0; set < sets; ++set) {
        for (int level = 0; level < levels; ++level) {
            passes_.push_back({set, level, level + 1 == levels});
        }
    }
    for (const blocks::HurryStart &start : blocks::parse_hurry(hurry)) {
        raise(start.step - 1, start.level);
    }
}

void LevelPlan::raise(int k, int hurry) {
    if (hurry <= hurry_ || k >= size()) return;
    std::vector<LevelPass> kept(passes_.begin(), passes_.begin() + k);
    for (int first = k; first < size();) {
        int end = first;
        while (end < size() && (*this)[end].set == (*this)[first].set) ++end;
        const int rest = end - first;
        const int count = blocks::fewer_steps(rest, hurry_, hurry);
        for (int j = 0; j < count; ++j) {
            kept.push_back((*this)[first + j * rest / count]);
            kept.back().last = j + 1 == count;
        }
        first = end;
    }
    passes_ = std::move(kept);
    hurry_ = hurry;
    blocks::add_hurry(hurried_, {k + 1, hurry});
}

} // namespace tessera::texture
