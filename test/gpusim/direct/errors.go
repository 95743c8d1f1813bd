package direct

import (
	"errors"
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// wrap turns a return code into an error that says what it means to the product; the same as gpu/nvml does, which a test compares.
func wrap(call string, ret model.Return) error {
	if ret == model.Success {
		return nil
	}
	e := &gpu.DriverError{Call: call, Text: strings.ToLower(ret.String())}
	switch ret {
	case model.Uninitialized:
		e.Kind = gpu.ErrSessionLost
	case model.DriverNotLoaded, model.LibraryNotFound:
		e.Kind = gpu.ErrNoDriver
	case model.LibRMVersionMismatch:
		e.Kind = gpu.ErrLibraryStale
	case model.GPUIsLost, model.GPUNotFound:
		e.Kind = gpu.ErrLost
	case model.NotSupported, model.ArgumentVersionMismatch, model.Deprecated:
		e.Kind = gpu.ErrNotSupported
	case model.FunctionNotFound:
		e.Kind = gpu.ErrMissing
	case model.NotFound:
		e.Kind = gpu.ErrNotFound
	case model.NoPermission:
		e.Kind = gpu.ErrPermission
	case model.NoData, model.NotReady:
		e.Kind = gpu.ErrNoData
	case model.InvalidArgument:
		e.Kind = gpu.ErrEnd
	case model.Timeout:
		e.Kind = gpu.ErrTimeout
	case model.InUse:
		e.Kind = gpu.ErrInUse
	case model.InsufficientResources:
		e.Kind = gpu.ErrNoRoom
	default: // the text tells
	}
	return e
}

// killed is what a call of a dead process comes to. No code means it: nobody should act on it.
func killed(call string) error {
	return &gpu.DriverError{Call: call, Text: "the process was killed"}
}

// whole reports whether an error means the GPU or the session rather than one field of it.
func whole(err error) bool {
	return errors.Is(err, gpu.ErrLost) || errors.Is(err, gpu.ErrSessionLost) || errors.Is(err, gpu.ErrNoDriver) || errors.Is(err, gpu.ErrLibraryStale)
}

// absent reports whether an error says that the GPU or its driver does not have the thing at all.
func absent(err error) bool {
	return errors.Is(err, gpu.ErrNotSupported) || errors.Is(err, gpu.ErrMissing)
}

// unread reports whether what is there could not be read. An invalid argument is a number that the driver does not know.
func unread(err error) bool { return err != nil && !absent(err) && !errors.Is(err, gpu.ErrEnd) }

// gone reports whether an object was destroyed since its handle was given.
func gone(err error) bool { return errors.Is(err, gpu.ErrEnd) || errors.Is(err, gpu.ErrNotFound) }

// vanished says of a handle that was valid a moment ago, and is not any more, what that means: somebody destroyed what it stood for.
func vanished(err error) error {
	var e *gpu.DriverError
	if errors.As(err, &e) && errors.Is(e.Kind, gpu.ErrEnd) {
		return &gpu.DriverError{Call: e.Call, Text: e.Text, Kind: gpu.ErrNotFound}
	}
	return err
}

// gapList turns the errors of single fields into gaps, and keeps the first that is about the whole GPU.
type gapList struct {
	gaps  []gpu.Gap
	fatal error
}

// add takes the outcome of reading one field and reports whether it succeeded.
func (g *gapList) add(feature string, err error) bool {
	switch {
	case err == nil:
		return true
	case !whole(err):
		g.gaps = append(g.gaps, gpu.Gap{Feature: feature, Reason: err.Error()})
	case g.fatal == nil:
		g.fatal = err
	}
	return false
}

// optional is add for what many GPUs do not have: that is no gap.
func (g *gapList) optional(feature string, err error) bool {
	return !absent(err) && g.add(feature, err)
}
