// Package daemon is the simulated node as a machine shows it: NVML calls on a unix socket, the driver's files under a folder, the
// library beside them, and a control socket for the hand at the machine. It owns the folder and the sessions of client processes;
// what the hardware does is the model's.
package daemon
