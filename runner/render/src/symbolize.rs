// SPDX-License-Identifier: MIT
//! The interface for finding and naming the addresses of stacks.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

use bpfpack_spec::Stack;

use crate::meaning::Kernel;

/// Finds the addresses of stacks, and names them. Unknown addresses have no name.
pub trait Symbolize: Debug {
    /// The addresses of a stack in a record or key, innermost first.
    fn addresses(&mut self, stack: &Stack, record: &[u8]) -> Vec<u64>;

    /// Passes the frames of a stack to `take` as text, innermost first. If its addresses are lost,
    /// one line gives the reason.
    fn frames(&mut self, stack: &Stack, record: &[u8], take: &mut dyn FnMut(&[u8]));

    /// The named frames of each address as text: several if calls were inlined, none if the name is
    /// not known. User addresses belong to the process `pid`.
    fn named(&mut self, pid: Option<u32>, addresses: &[u64]) -> Vec<Vec<Vec<u8>>>;

    /// Appends the name of an address of kernel code. Returns false, and appends nothing, if there
    /// is none.
    fn kernel(&mut self, address: u64, out: &mut Vec<u8>) -> bool;
}

/// A symbolizer that all outputs and stages of a run share, so that symbols are read once.
pub type SharedSymbolizer = Rc<RefCell<dyn Symbolize>>;

/// Names single kernel addresses.
pub(crate) fn kernel_names(symbolizer: &SharedSymbolizer) -> Kernel {
    let symbolizer = Rc::clone(symbolizer);
    Box::new(move |address, out| symbolizer.borrow_mut().kernel(address, out))
}
