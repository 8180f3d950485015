//! A small disk under the laps: a tmpfs with a tablespace on it, which can be filled and emptied.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use sandbox::leftovers::{Identity, MOUNT_PREFIX, Registry, Thing, unmount};
use sandbox::postgres::{Kind, Server};
use sqlx::{AssertSqlSafe, PgPool};

/// Size of the disk. A trial whose laps fit into what is left of it would never notice that it is full: so it is filled.
const MEGABYTES: u32 = 64;

/// The disk. [`Disk::remove`] takes it away; dropped, it is unmounted at least. Known to the next run should this one be killed.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    tablespace: String,
    /// A server still uses it.
    stays: bool,
}

impl Disk {
    /// Mounts the disk and moves the (still empty) table of laps onto it.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub async fn make(server: &Server, pool: &PgPool, trial: u32) -> Result<Self, String> {
        if server.kind() != Kind::Local {
            return Err(
                "a small disk under the tables can only be mounted for a local server (--postgres local)".into()
            );
        }
        if !nix::unistd::geteuid().is_root() {
            return Err("mounting a small disk needs root".into());
        }
        let name = format!("{MOUNT_PREFIX}{}-{trial}", Identity::own());
        let directory = std::env::temp_dir().join(&name);
        let noted = Registry::own().note(Thing::Mount(directory.clone()));
        noted.map_err(|e| format!("it cannot be written down what is about to be mounted: {e}"))?;
        let disk = Self { directory, tablespace: name.replace('-', "_"), stays: false };
        std::fs::create_dir_all(&disk.directory).map_err(|e| format!("{}: {e}", disk.directory.display()))?;
        let owner = server.postmaster().map_err(|e| e.to_string()).and_then(|pid| {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(format!("/proc/{pid}")).map(|m| (m.uid(), m.gid())).map_err(|e| e.to_string())
        })?;
        let options = format!("size={MEGABYTES}m,mode=0700,uid={},gid={}", owner.0, owner.1);
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&disk.directory).output();
        match mounted {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                return Err(format!("a tmpfs cannot be mounted: {}", String::from_utf8_lossy(&output.stderr).trim()));
            }
            Err(e) => return Err(format!("mount cannot be run: {e}")),
        }
        let make = async {
            let location = disk.directory.display();
            let sql = format!("CREATE TABLESPACE {} LOCATION '{location}'", disk.tablespace);
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
            let sql = format!("ALTER TABLE public.laps SET TABLESPACE {}", disk.tablespace);
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await
        };
        match make.await {
            Ok(_) => Ok(disk),
            Err(e) => Err(format!("the table of laps cannot be moved onto the small disk: {e}")),
        }
    }

    /// Fills it to the last byte.
    ///
    /// # Errors
    /// When anything else than a full disk ends the writing.
    pub fn fill(&self) -> std::io::Result<String> {
        let mut ballast = std::fs::File::create(self.ballast())?;
        let (zeros, mut written, mut piece) = (vec![0_u8; 1 << 16], 0_usize, 1 << 16);
        loop {
            match ballast.write(&zeros[..piece]) {
                Ok(n) => written += n,
                Err(e) if e.kind() == std::io::ErrorKind::StorageFull && piece > 1 => piece /= 2,
                Err(e) if e.kind() == std::io::ErrorKind::StorageFull => break,
                Err(e) => return Err(e),
            }
        }
        Ok(format!("the disk under the laps was filled with {written} bytes, write(2) said ENOSPC"))
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When the ballast cannot be removed.
    pub fn empty(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.ballast())
    }

    fn ballast(&self) -> PathBuf {
        self.directory.join("ballast")
    }

    /// Drops the tablespace and unmounts the disk; to be called when the trial's database is gone.
    pub async fn remove(mut self, admin: &PgPool) {
        let _ = self.empty();
        let sql = format!("DROP TABLESPACE IF EXISTS {}", self.tablespace);
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(admin).await {
            tracing::warn!(%error, "the tablespace of the small disk stays");
            // Unmounting it under a server that still uses it would only hide it. Without this run's server it is a leftover.
            self.stays = true;
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        match unmount(&self.directory) {
            Ok(()) => Registry::own().forget(&Thing::Mount(self.directory.clone())),
            Err(error) => {
                tracing::warn!(%error, "a small disk is left over; `harness doctor --clean` removes it");
            }
        }
    }
}
