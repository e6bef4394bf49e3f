// The operations of the checked table: each one of the list checks its operands and forwards.
#include "compute/checked_state.hpp"

#include "core/tensor.hpp"

#include <algorithm>
#include <iterator>

namespace tessera {

namespace {

// Adds argument A of an operation, a tensor or options, with the tensors that it brings along.
template <class A>
Result<> add_operand(Operands &operands, const operations::Tensor *&next, const A &argument) {
    if constexpr (operations::kIsTensor<A>) {
        operands.push_back({*next++, argument});
    } else if constexpr (operations::kIsOptions<A>) {
        if (Result<> given = sized(argument); !given) return given;
        for (const operations::Operand &operand :
             operations::tensors_of(operations::copy_options(argument)))
            operands.push_back(operand);
    }
    return {};
}

template <class Operation, class Entry = operations::EntryOf<Operation>>
struct Checked;
template <class Operation, class Table, class... A>
struct Checked<Operation, void (*Table::*)(const tessera_compute *, A...)> {
    static void entry(const tessera_compute *compute, A... arguments) {
        CheckedState &state = CheckedState::of(compute);
        state.run(
            Operation::kName, [&] { return check(state, arguments...); },
            [&] { (state.inner.*Operation::kEntry)(&state.inner, arguments...); });
    }

    // Memory first: then the rule may read what is on the host.
    static Result<> check(const CheckedState &state, A... arguments) {
        // Copies between host and device are no part of a recording.
        constexpr bool kCopies =
            std::any_of(std::begin(Operation::kTensors), std::end(Operation::kTensors),
                        [](const operations::Tensor &tensor) {
                            return tensor.role == operations::Role::kHost ||
                                   tensor.role == operations::Role::kHostWritten;
                        });
        if constexpr (kCopies) {
            if (Result<> fits = state.not_recording(); !fits) return fits;
        }
        Operands operands;
        const operations::Tensor *next = Operation::kTensors;
        for (const Result<> &added : {add_operand(operands, next, arguments)...}) {
            if (!added) return added;
        }
        if (Result<> here = state.placed(operands); !here) return here;
        if (Result<> fits = Operation::kRule(arguments...); !fits) return fits;
        return state.apart(operands);
    }
};

} // namespace

void set_checked_operations(tessera_compute &table) {
#define TESSERA_CHECKED(name, ...) table.name = Checked<operations::name##_operation>::entry;
    TESSERA_OPERATIONS(TESSERA_CHECKED)
#undef TESSERA_CHECKED
}

} // namespace tessera
