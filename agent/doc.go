// Package agent is the one place where the capabilities meet: configuration, lifecycle, the admin API, status.
// It owns the process: the lock of the state folder, the HTTP servers, the registry of metrics. It decides nothing about
// devices itself, and nothing below imports it.
package agent
