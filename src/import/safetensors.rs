//! A plain safetensors file whose tensors have their Caffe names.
