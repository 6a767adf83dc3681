//! Thrift's compact protocol, walked over without keeping anything: what Parquet's headers say, before memory is taken
//! for it.

/// Structures inside of structures.
const MAX_DEPTH: usize = 32;

/// Something on the way, with the ids of the fields that lead to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A structure begins.
    Struct,
    /// A list of so many items.
    List(u64),
    /// A whole number, or a boolean as 0 or 1.
    Number(i64),
}

/// Walks over the structure at the beginning of the bytes. How long it is; None where there is none.
pub(super) fn walk(bytes: &[u8], see: &mut dyn FnMut(&[i16], Seen)) -> Option<usize> {
    let mut walker = Walker { bytes, at: 0, path: Vec::new(), see };
    walker.structure()?;
    Some(walker.at)
}

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    path: Vec<i16>,
    see: &'a mut dyn FnMut(&[i16], Seen),
}

impl Walker<'_> {
    fn structure(&mut self) -> Option<()> {
        if self.path.len() > MAX_DEPTH {
            return None;
        }
        (self.see)(&self.path, Seen::Struct);
        let mut last = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            last = match head >> 4 {
                0 => i16::try_from(self.signed()?).ok()?,
                more => last.checked_add(more.into())?,
            };
            self.path.push(last);
            match head & 0x0f {
                // The type is the value.
                1 => (self.see)(&self.path, Seen::Number(1)),
                2 => (self.see)(&self.path, Seen::Number(0)),
                kind => self.value(kind)?,
            }
            self.path.pop();
        }
    }

    fn value(&mut self, kind: u8) -> Option<()> {
        match kind {
            1..=3 => {
                let byte = self.byte()?;
                (self.see)(&self.path, Seen::Number(byte.into()));
            }
            4..=6 => {
                let number = self.signed()?;
                (self.see)(&self.path, Seen::Number(number));
            }
            7 => self.skip(8)?,
            8 => {
                let length = self.unsigned()?;
                self.skip(length)?;
            }
            9 | 10 => self.list()?,
            12 => self.structure()?,
            // No header of Parquet has maps.
            _ => return None,
        }
        Some(())
    }

    fn list(&mut self) -> Option<()> {
        let head = self.byte()?;
        let size = match head >> 4 {
            15 => self.unsigned()?,
            size => size.into(),
        };
        // Each item has a byte and more.
        if size > (self.bytes.len() - self.at) as u64 {
            return None;
        }
        (self.see)(&self.path, Seen::List(size));
        (0..size).try_for_each(|_| self.value(head & 0x0f))
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        let at = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        self.at = (at <= self.bytes.len()).then_some(at)?;
        Some(())
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}
