// Package attribute says which container has which device and what each uses of it: pure functions from the inventory, the
// claims, podresources, the pods and what the driver tells of processes. It owns the meaning of foreign device ids and a short
// memory of whose a process is. It never gives a number to a container that was not measured: that has a reason or is a rest.
package attribute
