// Package dcgm is a simulated DCGM host engine over a simulated node: entities, groups, watches, the values of fields with DCGM's
// units, blanks and status codes, and the ways in which an engine fails. It owns these and the calls of the simulated libdcgm.so.4.
// It never talks to a socket: the daemon brings it the bytes that the library sent.
package dcgm
