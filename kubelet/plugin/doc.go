// Package plugin keeps device plugins registered with the kubelet: sockets, registration, and the watchdog that compares what the
// kubelet believes with what was sent. It owns the sockets in the device-plugins directory whose names begin with Prefix.
// It never decides what is offered.
package plugin
