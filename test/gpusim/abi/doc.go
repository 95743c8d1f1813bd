// Package abi translates between NVML's C calls and the simulated node: which model method a C function is, which argument
// means what, and how its structures lie in memory on 64-bit little-endian Linux. It owns these layouts and the versions of
// structures. It never talks to a socket: the daemon brings it the bytes that the library sent.
package abi
