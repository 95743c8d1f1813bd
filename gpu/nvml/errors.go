package nvml

import (
	"errors"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// wrap turns a return code into an error that says what it means to us.
func wrap(call string, ret nv.Return) error {
	if ret == nv.SUCCESS {
		return nil
	}
	e := &gpu.DriverError{Call: call, Text: text(ret)}
	switch ret {
	case nv.ERROR_UNINITIALIZED:
		e.Kind = gpu.ErrSessionLost
	case nv.ERROR_DRIVER_NOT_LOADED, nv.ERROR_LIBRARY_NOT_FOUND:
		e.Kind = gpu.ErrNoDriver
	case nv.ERROR_LIB_RM_VERSION_MISMATCH:
		e.Kind = gpu.ErrLibraryStale
	case nv.ERROR_GPU_IS_LOST, nv.ERROR_GPU_NOT_FOUND:
		e.Kind = gpu.ErrLost
	case nv.ERROR_NOT_SUPPORTED, nv.ERROR_ARGUMENT_VERSION_MISMATCH, nv.ERROR_DEPRECATED:
		e.Kind = gpu.ErrNotSupported
	case nv.ERROR_FUNCTION_NOT_FOUND:
		e.Kind = gpu.ErrMissing
	case nv.ERROR_NOT_FOUND:
		e.Kind = gpu.ErrNotFound
	case nv.ERROR_NO_PERMISSION:
		e.Kind = gpu.ErrPermission
	case nv.ERROR_NO_DATA, nv.ERROR_NOT_READY:
		e.Kind = gpu.ErrNoData
	case nv.ERROR_INVALID_ARGUMENT:
		e.Kind = gpu.ErrEnd
	case nv.ERROR_TIMEOUT:
		e.Kind = gpu.ErrTimeout
	case nv.ERROR_IN_USE:
		e.Kind = gpu.ErrInUse
	case nv.ERROR_INSUFFICIENT_RESOURCES:
		e.Kind = gpu.ErrNoRoom
	default: // the text tells
	}
	return e
}

// text is the code's name; go-nvml's own Error asks the library, which may hang or be gone.
func text(ret nv.Return) string {
	names := map[nv.Return]string{
		nv.ERROR_UNINITIALIZED: "the driver was restarted", nv.ERROR_INVALID_ARGUMENT: "invalid argument",
		nv.ERROR_NOT_SUPPORTED: "not supported", nv.ERROR_NO_PERMISSION: "no permission", nv.ERROR_NOT_FOUND: "not found",
		nv.ERROR_INSUFFICIENT_SIZE: "insufficient size", nv.ERROR_INSUFFICIENT_POWER: "power cables are not attached",
		nv.ERROR_DRIVER_NOT_LOADED: "the kernel driver is not loaded", nv.ERROR_TIMEOUT: "timed out",
		nv.ERROR_IRQ_ISSUE: "the kernel found an interrupt issue", nv.ERROR_LIBRARY_NOT_FOUND: "the library was not found",
		nv.ERROR_FUNCTION_NOT_FOUND: "the function was not found", nv.ERROR_CORRUPTED_INFOROM: "the InfoROM is corrupted",
		nv.ERROR_GPU_IS_LOST: "the GPU is lost", nv.ERROR_RESET_REQUIRED: "a reset is required",
		nv.ERROR_OPERATING_SYSTEM:        "the operating system refused",
		nv.ERROR_LIB_RM_VERSION_MISMATCH: "library and kernel driver are of different versions",
		nv.ERROR_IN_USE:                  "in use", nv.ERROR_MEMORY: "out of memory", nv.ERROR_NO_DATA: "no data",
		nv.ERROR_INSUFFICIENT_RESOURCES: "insufficient resources", nv.ERROR_ARGUMENT_VERSION_MISMATCH: "the structure's version is not known",
		nv.ERROR_DEPRECATED: "deprecated", nv.ERROR_NOT_READY: "not ready", nv.ERROR_GPU_NOT_FOUND: "the GPU was not found",
		nv.ERROR_INVALID_STATE: "invalid state", nv.ERROR_UNKNOWN: "unknown error",
	}
	if s, ok := names[ret]; ok {
		return s
	}
	return "error " + itoa(int(ret))
}

// whole reports whether an error means the GPU or the session rather than one field of it.
func whole(err error) bool {
	return errors.Is(err, gpu.ErrLost) || errors.Is(err, gpu.ErrSessionLost) || errors.Is(err, gpu.ErrNoDriver) || errors.Is(err, gpu.ErrLibraryStale)
}

// unread reports whether a field that there is could not be read. An invalid argument is a number that the driver does not know.
func unread(err error) bool {
	return err != nil && !errors.Is(err, gpu.ErrNotSupported) && !errors.Is(err, gpu.ErrMissing) && !errors.Is(err, gpu.ErrEnd)
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
	case whole(err):
		if g.fatal == nil {
			g.fatal = err
		}
	default:
		g.gaps = append(g.gaps, gpu.Gap{Feature: feature, Reason: err.Error()})
	}
	return false
}

// optional is add for what many GPUs do not have: that is no gap.
func (g *gapList) optional(feature string, err error) bool {
	if errors.Is(err, gpu.ErrNotSupported) || errors.Is(err, gpu.ErrMissing) {
		return false
	}
	return g.add(feature, err)
}
