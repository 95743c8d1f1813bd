// What a driver root has beside NVML: a library that loads and finds no device.
int cuInit(unsigned flags);
int cuInit(unsigned flags) { return flags ? 1 : 100; }
