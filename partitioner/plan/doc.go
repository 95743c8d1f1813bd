// Package plan decides how the GPUs of one node are divided: from geometry, claims, demand and policy it makes a layout per GPU,
// the offers, the steps that lead there and the reason of each wait. It owns no state but a memory of tables that only saves time.
// It is pure: no I/O, no clock, no hardware, no profile of its own; the same input, in any order, gives the same plan.
package plan
