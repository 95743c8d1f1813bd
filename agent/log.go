package agent

import (
	"io"
	"log/slog"
)

// newLog makes the agent's logger. The words are those of the configuration.
func newLog(w io.Writer, level, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	switch level {
	case "debug":
		o.Level = slog.LevelDebug
	case "warn":
		o.Level = slog.LevelWarn
	case "error":
		o.Level = slog.LevelError
	}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
