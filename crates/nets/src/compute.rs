//! Where networks run, chosen at run time among the backends compiled in.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "burn")]
use burn::tensor::Device;

use crate::error::NetError;

/// A place to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compute {
    /// The CPU, in pure Rust, by an engine of our own; always there.
    #[default]
    Cpu,
    /// The CPU with burn's engine for everything (cargo feature `burn`): slower, there to compare with.
    Flex,
    /// libtorch on the CPU (cargo feature `libtorch`).
    LibTorch,
    /// An NVIDIA GPU through libtorch (cargo feature `libtorch`).
    LibTorchCuda,
    /// An NVIDIA GPU (cargo feature `cuda`).
    Cuda,
    /// Any GPU through WebGPU (cargo feature `wgpu`).
    Wgpu,
}

const ALL: [(Compute, &str, bool); 6] = [
    (Compute::Cpu, "cpu", true),
    (Compute::Flex, "flex", cfg!(feature = "burn")),
    (Compute::LibTorch, "libtorch", cfg!(feature = "libtorch")),
    (
        Compute::LibTorchCuda,
        "libtorch-cuda",
        cfg!(feature = "libtorch"),
    ),
    (Compute::Cuda, "cuda", cfg!(feature = "cuda")),
    (Compute::Wgpu, "wgpu", cfg!(feature = "wgpu")),
];

impl Compute {
    /// The names of the devices of this build.
    pub fn available() -> Vec<&'static str> {
        ALL.iter()
            .filter(|(_, _, built)| *built)
            .map(|(_, name, _)| *name)
            .collect()
    }

    #[cfg(feature = "burn")]
    pub(crate) fn device(self) -> Device {
        match self {
            // burn means to drop this backend; on a CPU it still trains several times faster.
            #[cfg(feature = "libtorch")]
            #[allow(deprecated)]
            Self::LibTorch => Device::libtorch(),
            #[cfg(feature = "libtorch")]
            #[allow(deprecated)]
            Self::LibTorchCuda => Device::libtorch_cuda(0usize),
            #[cfg(feature = "cuda")]
            Self::Cuda => Device::cuda(0usize),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Device::wgpu(burn::tensor::DeviceKind::default()),
            _ => Device::flex(),
        }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL
            .iter()
            .find(|(compute, _, _)| compute == self)
            .map_or("", |entry| entry.1);
        f.write_str(name)
    }
}

impl FromStr for Compute {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let found = ALL.iter().find(|(_, name, built)| *name == text && *built);
        found
            .map(|(compute, _, _)| *compute)
            .ok_or_else(|| NetError::Device {
                name: text.to_owned(),
                available: format!(
                    "{} (flex, libtorch, libtorch-cuda, cuda and wgpu come with cargo features)",
                    Self::available().join(", ")
                ),
            })
    }
}
