// SPDX-License-Identifier: MIT
//! Who finds the addresses of stacks, and names them.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

use bpfpack_spec::Stack;

use crate::meaning::Kernel;

/// Finds the addresses of stacks, and names them. What it does not find out has no name.
pub trait Symbolize: Debug {
    /// The addresses of a stack of a record or key, innermost first.
    fn addresses(&mut self, stack: &Stack, record: &[u8]) -> Vec<u64>;

    /// Hands the frames of a stack to `take` as text, innermost first. Where its addresses are lost,
    /// one line says why.
    fn frames(&mut self, stack: &Stack, record: &[u8], take: &mut dyn FnMut(&[u8]));

    /// The frames of each address that have names, as text: several where calls were inlined, none
    /// where there is no name. Addresses in user space belong to the process `pid`.
    fn named(&mut self, pid: Option<u32>, addresses: &[u64]) -> Vec<Vec<Vec<u8>>>;

    /// Appends the name of an address of kernel code; false, and nothing appended, where it is none.
    fn kernel(&mut self, address: u64, out: &mut Vec<u8>) -> bool;
}

/// One that all outputs and stages of a run share: symbols are read once.
pub type SharedSymbolizer = Rc<RefCell<dyn Symbolize>>;

/// What names single addresses of the kernel.
pub(crate) fn kernel_names(symbolizer: &SharedSymbolizer) -> Kernel {
    let symbolizer = Rc::clone(symbolizer);
    Box::new(move |address, out| symbolizer.borrow_mut().kernel(address, out))
}
