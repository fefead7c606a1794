// SPDX-License-Identifier: MIT
//! Documents whose commands run in a test: the blocks of a Markdown file, and the shape of a
//! command's output.

mod blocks;
mod session;
mod shape;
mod table;

pub use blocks::{Block, Command, Console, blocks};
pub use session::Session;
pub use shape::Shape;
