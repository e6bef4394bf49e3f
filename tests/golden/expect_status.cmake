# Runs PROGRAM WEIGHTS CASE and expects its exit status.
execute_process(COMMAND "${PROGRAM}" "${WEIGHTS}" "${CASE}" RESULT_VARIABLE _status
                ERROR_VARIABLE _errors OUTPUT_QUIET)
if(NOT _status EQUAL "${EXPECTED}")
  message(FATAL_ERROR "exit status ${_status}, expected ${EXPECTED}: ${_errors}")
endif()
if(_errors STREQUAL "")
  message(FATAL_ERROR "no message on standard error")
endif()
