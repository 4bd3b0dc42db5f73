//! Names of files, what is known of them, and folders.

use super::{Kind, with_folder};
use futures::StreamExt;
use reactor::fs;

pub fn all() -> Vec<Kind> {
    with_folder! {
        "fs/metadata metadata": |f| f.file.metadata();
        "fs/metadata metadata, by path": |f| fs::metadata(f.at("file"));
        "fs/metadata symlink_metadata": |f| fs::symlink_metadata(f.at("file"));
        "fs/metadata try_exists": |f| fs::try_exists(f.at("new"));
        "fs/alignment alignment": |f| f.file.alignment();
        "fs/names rename": |f| fs::rename(f.at("file"), f.at("new"));
        "fs/names rename_no_replace": |f| fs::rename_no_replace(f.at("file"), f.at("new"));
        "fs/names exchange": |f| fs::exchange(f.at("file"), f.at("dir"));
        "fs/names remove_file": |f| fs::remove_file(f.at("file"));
        "fs/names hard_link": |f| fs::hard_link(f.at("file"), f.at("new"));
        "fs/names symlink": |f| fs::symlink("file", f.at("new"));
        "fs/names read_link": |f| fs::read_link(f.at("file"));
        "fs/names canonicalize": |f| fs::canonicalize(f.at("file"));
        "fs/names set_permissions": |f| fs::set_permissions(f.at("file"), 0o600);
        "fs/dir create_dir": |f| fs::create_dir(f.at("new"));
        "fs/dir create_dir_all": |f| fs::create_dir_all(f.at("new/below/that"));
        "fs/dir remove_dir": |f| fs::remove_dir(f.at("dir"));
        "fs/dir remove_dir_all": |f| fs::remove_dir_all(f.at("dir"));
        "fs/read_dir read_dir": |f| fs::read_dir(&f.path);
        "fs/read_dir next_entry": |f| async move { fs::read_dir(&f.path).await?.next_entry().await };
        "fs/read_dir poll_next": |f| async move {
            fs::read_dir(&f.path).await?.map(drop).collect::<Vec<_>>().await;
            std::io::Result::Ok(())
        };
        "fs/read_dir metadata": |f| async move {
            fs::read_dir(&f.path).await?.next_entry().await?.expect("two").metadata().await
        };
        "fs/read_dir file_type": |f| async move {
            fs::read_dir(&f.path).await?.next_entry().await?.expect("two").file_type().await
        };
    }
}
