/* A loadable library that is no plugin.
 */
int tessera_test_nothing(void);
int tessera_test_nothing(void) { return 0; }
