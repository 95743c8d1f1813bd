// Package model is one node's GPUs as NVIDIA's driver presents them: identity, MIG rules, processes, loads over time,
// events and faults, with NVML's numbers and return codes. It owns the simulated hardware's whole state and computes every
// answer from it. It never opens a socket, a file or a library: test/gpusim puts it behind NVIDIA's C ABI.
//
// A Node is the machine. Node.Connect gives a Client, the state of one process that loaded the library; its methods carry
// NVML's names without the prefix "nvml". Node's own methods are the hand of the person at the machine: loads, processes,
// faults, reboot.
package model
