//! NVMe commands for the device below, as they are.

use super::Channel;
use crate::bdev::{NvmeAnswer, NvmeCommand, NvmeData, Op, Result};
use crate::sys::dma::DmaAny;

impl Channel {
    /// Has the controller carry out `command`. What it answers is the caller's to read, a refusal as well.
    ///
    /// Nothing about the command is checked: with it one can destroy what the layer guards, so that it takes a descriptor that may
    /// write.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::bdev::Error::Unsupported) if no controller lies below;
    /// [`Error::ReadOnly`](crate::bdev::Error::ReadOnly); what keeps the command from being answered.
    pub async fn nvme_admin(&self, command: NvmeCommand, data: NvmeData) -> Result<NvmeAnswer> {
        self.nvme(Op::NvmeAdmin, command, data).await
    }

    /// Has the namespace carry out `command`, likewise.
    ///
    /// # Errors
    /// As [`nvme_admin`](Channel::nvme_admin).
    pub async fn nvme_io(&self, command: NvmeCommand, data: NvmeData) -> Result<NvmeAnswer> {
        self.nvme(Op::NvmeIo, command, data).await
    }

    async fn nvme(&self, op: Op, command: NvmeCommand, data: NvmeData) -> Result<NvmeAnswer> {
        let inner = &*self.0;
        let is_read = matches!(data, NvmeData::Read(_));
        // The caller's buffer, where the device cannot reach it.
        let mut own = None;
        let buffer: Option<DmaAny> = match data {
            NvmeData::None => None,
            NvmeData::Read(buf) if inner.is_aligned(buf.as_ptr().addr()) => Some(buf.into()),
            NvmeData::Read(buf) => {
                let detour = inner.pool.alloc(buf.len()).await?;
                own = Some(buf);
                Some(detour.into())
            }
            NvmeData::Write(data) if inner.is_aligned(data.as_ptr().addr()) => Some(data.into()),
            NvmeData::Write(data) => {
                let [data] = inner.aligned([data]).await?;
                Some(data.into())
            }
        };
        let io = inner.io(op, 0..0, buffer);
        io.request().extra.rare().command.set(command);
        match inner.carry(io).await {
            (Some(e), _) => Err(*e),
            (None, taken) => {
                let mut data = taken.buffer.and_then(DmaAny::into_buf).filter(|_| is_read);
                if is_read && data.is_none() {
                    return Err(inner.lost_buffer());
                }
                if let (Some(mut buf), Some(detour)) = (own, &data) {
                    buf.copy_from_slice(detour);
                    data = Some(buf);
                }
                Ok(NvmeAnswer { result: taken.value, status: taken.status, data })
            }
        }
    }
}
