package model

import "time"

// Load is what a GPU or an instance does over time. Level is percent of the target's SMs.
type Load struct {
	// Kind is "constant", "ramp", "sine" or "trace".
	Kind string `json:"kind" yaml:"kind"`
	// Level is the constant, the ramp's end, the sine's middle.
	Level float64 `json:"level" yaml:"level"`
	// From is the ramp's start; Amplitude the sine's.
	From      float64 `json:"from" yaml:"from"`
	Amplitude float64 `json:"amplitude" yaml:"amplitude"`
	// Period is the ramp's length or the sine's period; the distance between two points of a trace.
	Period time.Duration `json:"period" yaml:"period"`
	Points []float64     `json:"points" yaml:"points"`
	// Shares of Level: Memory (DRAM bandwidth), Tensor, FP64, FP32, FP16, NVLink and PCIe bandwidth, encoder, decoder. Negative: none; 0: the default.
	Memory  float64 `json:"memory" yaml:"memory"`
	Tensor  float64 `json:"tensor" yaml:"tensor"`
	FP64    float64 `json:"fp64" yaml:"fp64"`
	FP32    float64 `json:"fp32" yaml:"fp32"`
	FP16    float64 `json:"fp16" yaml:"fp16"`
	NVLink  float64 `json:"nvlink" yaml:"nvlink"`
	PCIe    float64 `json:"pcie" yaml:"pcie"`
	Encoder float64 `json:"encoder" yaml:"encoder"`
	Decoder float64 `json:"decoder" yaml:"decoder"`
}
