// Which noise levels a run passes through.
#include "texture/level_plan.hpp"

#include <algorithm>

namespace tessera::texture {

LevelPlan::LevelPlan(int sets, int levels, const blocks::HurryStarts &hurry) {
    for (int set = 0; set < sets; ++set) {
        for (int level = 0; level < levels; ++level) {
            passes_.push_back({set, level, level + 1 == levels});
        }
    }
    for (int k = 0; k < size(); ++k) {
        for (int wanted = blocks::kHurryLevels; wanted > 0; --wanted) {
            const int start = hurry[static_cast<std::size_t>(wanted - 1)];
            if (start <= 0 || start > k + 1) continue;
            raise(k, wanted);
            break;
        }
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
    starts_[static_cast<std::size_t>(hurry - 1)] = k + 1;
}

} // namespace tessera::texture
